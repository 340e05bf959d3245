"""`im2im inspect`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from im2im_core.interfaces import DataFacts, DataSurvey, NumpyArray
    from im2im_core.registry import Registry

LISTED = 10
SHOWN = 8
FEW = 32
"""Numbers in the targets up to which they may be classes."""


def inspect(
    data: Annotated[str, typer.Argument(help="Folder or CSV of training images.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the network that is planned, as network.memory_gb=24."),
    ] = None,
) -> None:
    """Say what a data set holds, which files lack their partner, and which settings would be planned."""
    from im2im_core.cli.console import console
    from im2im_core.components import Dataset
    from im2im_core.formats import image_loader
    from im2im_core.registry import Registry

    registry = Registry.discover()
    load = image_loader(registry)
    dataset = registry.get("dataset", "paired").component
    assert isinstance(dataset, Dataset) and dataset.survey is not None  # it is our own
    config = dataset.config.model_validate({"path": data})
    facts: DataFacts = dataset.inspect(config, load, incomplete=True)
    survey: DataSurvey = dataset.survey(config, load, images=True, incomplete=True)
    terminal = console()
    for name, value in describe(facts, survey):
        terminal.print(f"{name:<18}{value}", highlight=False, markup=False, soft_wrap=True)
    for name, lines in suggestions(registry, data, sets or [], facts, survey).items():
        terminal.print(f"planned by --network {name}:", highlight=False)
        for line in lines:
            terminal.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    if survey.alone:
        typer.echo(f"warning: {alone(survey)}", err=True)
        typer.echo("hint: training refuses images without a target; add the partners, or take the files away", err=True)


def suggestions(
    registry: Registry, data: str, sets: list[str], facts: DataFacts, survey: DataSurvey
) -> dict[str, list[str]]:
    """What each installed network that plans settings would say, as lines for --set."""
    from im2im_core.config import resolve

    found = {}
    models = [entry.qualified for entry in registry.components("model")]
    for entry in registry.components("network"):
        plan = getattr(entry.component, "plan", None)
        if plan is None or not models:
            continue
        # The plan looks at the network's settings and the data; which model it is for makes no difference to it.
        layer = {"model": {"name": models[0]}, "network": {"name": entry.qualified}, "dataset": {"path": data}}
        run = resolve(registry, file=layer, assignments=sets)
        found[entry.component.name] = [
            f"{section}.{key}={value}"
            for section, values in plan(run, facts, lambda: survey).items()
            for key, value in values.items()
        ]
    return found


def describe(facts: DataFacts, survey: DataSurvey) -> list[tuple[str, str]]:
    """What is known, as rows of name and text."""
    shapes = survey.shapes
    low, high = (tuple(pick(axis) for axis in zip(*shapes, strict=True)) for pick in (min, max))
    sizes = [survey.pixel_size[axis] for axis in "ZYX" if survey.pixel_size.get(axis)]
    rows = [
        ("pairs", str(len(shapes))),
        ("axes", f"{facts.axes}, {facts.spatial_dims}D"),
        ("channels", f"{facts.in_channels} -> {facts.target_channels}"),
        ("pixel types", f"{facts.dtype} -> {'a number' if facts.number_targets else facts.target_dtype}"),
        ("shapes", f"{low} to {high}, median {survey.median_shape}"),
        ("pixel size", ", ".join(f"{a} {s:g} um" for a, s in survey.pixel_size.items()) or "not stored"),
        ("anisotropy", f"{max(sizes) / min(sizes):.2f}" if sizes else "unknown"),
        ("cost maps", "yes" if facts.has_costmap else "none"),
        ("image 1-99.8 %", _ranges(survey.image_range)),
        ("target 1-99.8 %", _ranges(survey.target_range)),
    ]
    if survey.alone:
        rows.insert(1, ("without partner", alone(survey)))
    if not facts.number_targets:
        rows.append(("foreground", f"{100 * survey.foreground:.1f} % of target pixels are above 0"))
    return rows + _classes(survey) + _objects(survey)


def alone(survey: DataSurvey) -> str:
    """How many files lack their partner, and the first names."""
    names = ", ".join(f"'{path.name}'" for path in survey.alone[:LISTED])
    more = len(survey.alone) - LISTED
    files = "1 file has" if len(survey.alone) == 1 else f"{len(survey.alone)} files have"
    return f"{files} no partner: {names}" + (f" and {more} more" if more > 0 else "")


def _classes(survey: DataSurvey) -> list[tuple[str, str]]:
    """Which whole numbers the targets hold and, where they are few, how many pixels have each."""
    numbers, total = survey.classes, sum(survey.class_pixels.values())
    if not numbers:
        return []
    more = ", ..." if len(numbers) > SHOWN else ""
    rows = [("target numbers", f"{len(numbers)} different: {', '.join(map(str, numbers[:SHOWN]))}{more}")]
    if len(numbers) <= (SHOWN if survey.object_sizes else FEW):
        shares = [f"{number} {100 * survey.class_pixels[number] / total:.2f} %" for number in numbers[:SHOWN]]
        rows.append(("class balance", ", ".join(shares) + more))
    return rows


def _objects(survey: DataSurvey) -> list[tuple[str, str]]:
    """Sizes where each number of a target is an object, in pixels and micrometres."""
    import numpy as np

    if not survey.object_sizes:
        return []
    sizes, dims = np.array(survey.object_sizes, np.float64), len(survey.shapes[0])
    steps = [survey.pixel_size.get(axis, 0.0) for axis in "ZYX"[-dims:]]
    units = [("voxels" if dims == 3 else "pixels", 1.0)] + ([(f"um{dims}", math.prod(steps))] if all(steps) else [])
    sized, wide = [], []
    for unit, volume in units:
        sized.append(_spread(sizes * volume, unit))
        # Of the disc or the ball that is as large.
        diameters = 2 * (sizes * volume / math.pi) ** 0.5 if dims == 2 else (6 * sizes * volume / math.pi) ** (1 / 3)
        wide.append(_spread(diameters, unit.rstrip("23")))
    count = len(survey.shapes)
    return [
        ("objects", f"{len(sizes)} in {count} target{'s' if count > 1 else ''}"),
        ("object size", "; ".join(sized)),
        ("object diameter", "; ".join(wide)),
    ]


def _spread(values: NumpyArray, unit: str) -> str:
    import numpy as np

    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"median {middle:.4g} {unit}, 5-95 % {low:.4g} to {high:.4g}"


def _ranges(ranges: tuple[tuple[float, float], ...]) -> str:
    return "; ".join(f"{low:g} to {high:g}" for low, high in ranges) or "channels differ"
