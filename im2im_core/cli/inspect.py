"""`im2im inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from im2im_core.interfaces import DataFacts, DataSurvey
    from im2im_core.registry import Registry


def inspect(
    data: Annotated[str, typer.Argument(help="Folder or CSV of training images.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the network that is planned, as network.memory_gb=24."),
    ] = None,
) -> None:
    """Say what a data set holds, and which settings would be planned from it."""
    from im2im_core.cli.console import console
    from im2im_core.components import Dataset
    from im2im_core.formats import image_loader
    from im2im_core.registry import Registry

    registry = Registry.discover()
    load = image_loader(registry)
    dataset = registry.get("dataset", "paired").component
    assert isinstance(dataset, Dataset) and dataset.survey is not None  # it is our own
    config = dataset.config.model_validate({"path": data})
    facts: DataFacts = dataset.inspect(config, load)
    survey: DataSurvey = dataset.survey(config, load, images=True)
    terminal = console()
    for name, value in describe(facts, survey):
        terminal.print(f"{name:<18}{value}", highlight=False, markup=False, soft_wrap=True)
    for name, lines in suggestions(registry, data, sets or [], facts, survey).items():
        terminal.print(f"planned by --network {name}:", highlight=False)
        for line in lines:
            terminal.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


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
        ("pixel types", f"{facts.dtype} -> {facts.target_dtype}"),
        ("shapes", f"{low} to {high}, median {survey.median_shape}"),
        ("pixel size", ", ".join(f"{a} {s:g} um" for a, s in survey.pixel_size.items()) or "not stored"),
        ("anisotropy", f"{max(sizes) / min(sizes):.2f}" if sizes else "unknown"),
        ("cost maps", "yes" if facts.has_costmap else "none"),
        ("image 1-99.8 %", _ranges(survey.image_range)),
        ("target 1-99.8 %", _ranges(survey.target_range)),
        ("foreground", f"{100 * survey.foreground:.1f} % of target pixels are above 0"),
    ]
    if survey.classes:
        shown = ", ".join(map(str, survey.classes[:8])) + (", ..." if len(survey.classes) > 8 else "")
        rows.append(("target numbers", f"{len(survey.classes)} different: {shown}"))
    return rows


def _ranges(ranges: tuple[tuple[float, float], ...]) -> str:
    return "; ".join(f"{low:g} to {high:g}" for low, high in ranges) or "channels differ"
