"""What a run's folder tells a report. Whatever is missing or damaged is left out: a report must not fail for it."""

from __future__ import annotations

import csv
import json
import logging
import math
import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure over the training.

    Attributes:
        x: epochs counted from 1, or steps.
        y: the mean of the figure over each of them; NaN where it was no number.
        per_step: `x` are steps, since there was only one epoch.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    per_step: bool = False

    def best(self, higher: bool) -> tuple[float, float] | None:
        """Where it was best, and how good; None if it never was a number."""
        points = [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(y)]
        if not points:
            return None
        return max(points, key=lambda point: point[1] if higher else -point[1])


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, as far as its files tell.

    Attributes:
        curves: by the names that the trainer logged.
        settings: the resolved configuration, as YAML.
        environment: what `environment.json` holds.
        training: epochs, steps, subjects, seconds, as far as the bundle states them.
        previews: pictures of a validation image, by epoch, earliest first.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)
    settings: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    previews: tuple[tuple[int, Path], ...] = ()

    @property
    def command(self) -> str:
        """The command line, as one would type it."""
        command = self.environment.get("command") or []
        if isinstance(command, str):
            return command
        words = [str(word) for word in command]
        return shlex.join([Path(words[0]).name, *words[1:]]) if words else ""

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        stated = self.training.get("epochs")
        if isinstance(stated, int):
            return stated
        return int(max((max(c.x) for c in self.curves.values() if c.x and not c.per_step), default=0))


def read_run(run_dir: Path) -> RunRecord:
    """Read what is there of `metrics.csv`, `config.yaml`, `environment.json`, `bundle/bundle.json` and `previews/`."""
    tables = [run_dir / "metrics.csv", *sorted(run_dir.glob("**/metrics.csv"))]
    bundle = _json(run_dir / "bundle" / "bundle.json")
    training = bundle.get("training")
    return RunRecord(
        read_curves(tables[0] if tables[0].exists() else tables[-1]),
        _text(run_dir / "config.yaml"),
        _json(run_dir / "environment.json"),
        training if isinstance(training, Mapping) else {},
        _previews(run_dir / "previews"),
    )


def _previews(folder: Path) -> tuple[tuple[int, Path], ...]:
    numbered = ((path.stem.rpartition("-")[2], path) for path in folder.glob("epoch-*.png"))
    return tuple(sorted((int(number), path) for number, path in numbered if number.isdecimal()))


def read_curves(path: Path) -> dict[str, Curve]:
    """The columns of a table with `epoch` and `step` (both from 0) and one column per figure, with many empty cells."""
    rows = list(csv.DictReader(_text(path).splitlines()))
    points: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        epoch, step = _number(row.get("epoch")), _number(row.get("step"))
        for name, cell in row.items():
            value = _number(cell)
            if name not in ("epoch", "step", None) and value is not None:
                points[name].append((epoch or 0.0, step or 0.0, value))
    # Lightning logs a figure both per step and per epoch under two names; the epoch's is the one to read.
    drop = {name for name in points if name.endswith("_step") and f"{name[:-5]}_epoch" in points}
    return {name: _curve(found) for name, found in points.items() if name not in drop}


def _curve(points: list[tuple[float, float, float]]) -> Curve:
    per_step = len({epoch for epoch, _, _ in points}) == 1 and len(points) > 1
    values: dict[float, list[float]] = defaultdict(list)
    for epoch, step, value in points:
        values[step if per_step else epoch + 1].append(value)
    places = sorted(values)
    return Curve(tuple(places), tuple(_mean(values[place]) for place in places), per_step)


def _mean(values: list[float]) -> float:
    """NaN as soon as one value is no number: a training that went wrong must not look right."""
    return sum(values) / len(values) if all(map(math.isfinite, values)) else math.nan


def _number(cell: str | list[str] | None) -> float | None:
    try:
        return float(cell) if isinstance(cell, str) and cell.strip() else None
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        logger.debug("no %s", path)
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except ValueError:
        logger.warning("'%s' is damaged and left out of the report", path)
        return {}
    return content if isinstance(content, dict) else {}
