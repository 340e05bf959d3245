"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from im2im_core.cli.completion import names_of


def _component(kind: str, meaning: str) -> Any:
    """The option that chooses a component of a kind, whose names a shell completes."""
    return typer.Option(f"--{kind}", help=meaning, show_default=False, autocompletion=names_of(kind))


Model = Annotated[str | None, _component("model", "Model, see im2im list models.")]
Network = Annotated[str | None, _component("network", "Network instead of the model's own.")]
Discriminator = Annotated[str | None, _component("discriminator", "Discriminator instead of the model's own.")]
Loss = Annotated[str | None, _component("loss", "Loss instead of the model's own.")]
PresetName = Annotated[str | None, _component("preset", "Settings for a kind of data, see im2im list presets.")]
Data = Annotated[str | None, typer.Option("--data", help="Folder or CSV of training images.", show_default=False)]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings, see im2im init.", show_default=False)
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, as section.name=value; may be repeated.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
