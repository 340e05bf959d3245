"""Options of `im2im predict --uncertainty`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from im2im_core.uncertainty import Sampling


def chosen_sampling(source: str | None, count: int, strength: float, ensemble: Sequence[Path] | None) -> Sampling:
    """What the options ask for.

    Raises:
        typer.BadParameter: no such source, or one that does not go with the other options.
    """
    from im2im_core.uncertainty import MOST_TURNS, SOURCES, Sampling

    maps, source = source is not None, source or "ensemble"
    if source not in SOURCES:
        raise typer.BadParameter(f"'{source}' is none of: {', '.join(SOURCES)}", param_hint="--uncertainty")
    if source == "ensemble" and not ensemble:
        raise typer.BadParameter("'ensemble' needs more than one bundle: add --ensemble", param_hint="--uncertainty")
    if source != "ensemble" and ensemble:
        raise typer.BadParameter(f"an ensemble is not sampled by '{source}'", param_hint="--ensemble")
    if source == "test-time-augmentation" and count > MOST_TURNS:
        raise typer.BadParameter(f"there are {MOST_TURNS} flips and turns, not '{count}'", param_hint="--samples")
    return Sampling(source=source, count=count, strength=strength, maps=maps)
