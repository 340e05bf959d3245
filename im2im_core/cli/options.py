"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str | None, typer.Option("--model", help="Model, see im2im list models.", show_default=False)]
Data = Annotated[str | None, typer.Option("--data", help="Folder or CSV of training images.", show_default=False)]
Loss = Annotated[str | None, typer.Option("--loss", help="Loss instead of the model's own.", show_default=False)]
Network = Annotated[
    str | None, typer.Option("--network", help="Network instead of the model's own.", show_default=False)
]
Discriminator = Annotated[
    str | None,
    typer.Option("--discriminator", help="Discriminator instead of the model's own.", show_default=False),
]
PresetName = Annotated[
    str | None,
    typer.Option("--preset", help="Settings for a kind of data, see im2im list presets.", show_default=False),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings, see im2im init.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, as section.name=value; may be repeated.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
