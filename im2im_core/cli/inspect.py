"""`im2im inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from im2im_core.interfaces import DataFacts, DataSurvey


def inspect(
    data: Annotated[str, typer.Argument(help="Folder or CSV of training images.")],
    memory_gb: Annotated[
        float, typer.Option("--memory-gb", min=0.01, help="Memory that a training step may use.")
    ] = 8.0,
) -> None:
    """Say what a data set holds, and which settings `--network auto` would take."""
    from im2im_core.cli.console import console
    from im2im_core.config import resolve
    from im2im_core.errors import ComponentError
    from im2im_core.formats import image_loader
    from im2im_core.registry import Registry
    from im2im_core.training import inspect_data, plan_settings, survey_data

    registry = Registry.discover()
    try:
        network = {"name": registry.get("network", "auto").component.name, "memory_gb": memory_gb}
        registry.get("model", "fcn")
    except ComponentError as error:
        raise ComponentError("the settings are planned by plug-in 'fcn'", "pip install im2im-fcn") from error
    # The range of the targets is of no concern here, and need not be looked for a second time.
    model = {"name": "fcn", "task": "semantic-segmentation", "classes": 1}
    config = resolve(registry, file={"model": model, "network": network, "dataset": {"path": data}})
    load = image_loader(registry)
    facts = inspect_data(registry, config)
    survey = survey_data(config, load)
    terminal = console()
    for name, value in describe(facts, survey):
        terminal.print(f"{name:<18}{value}", highlight=False, markup=False)
    planned = plan_settings(registry, config, facts, load)
    terminal.print("suggested (--network auto):", highlight=False)
    settings = planned.network.settings()
    for key in ("strides", "kernels", "filters"):
        terminal.print(f"  network.{key}={settings[key]}", highlight=False, markup=False)
    dataset = planned.dataset.settings()
    for key in ("patch_size", "batch_size"):
        terminal.print(f"  dataset.{key}={dataset[key]}", highlight=False, markup=False)


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
