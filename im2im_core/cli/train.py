"""`im2im train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from im2im_core.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from im2im_core.config import RunConfig
    from im2im_core.registry import Registry


def train(
    model: options.Model = None,
    data: options.Data = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            help="Channel of the images to learn from: name, or number from 0. May be repeated.",
            show_default=False,
        ),
    ] = None,
    preset: options.PresetName = None,
    config: options.ConfigFile = None,
    network: options.Network = None,
    discriminator: options.Discriminator = None,
    loss: options.Loss = None,
    task: Annotated[
        str | None, typer.Option("--task", help="For models that serve several, such as fcn.", show_default=False)
    ] = None,
    sets: options.Sets = None,
    out: Annotated[Path, typer.Option("--out", help="Folder in which the run's folder is made.")] = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with an unfinished run's folder.", show_default=False)
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option("--init-from", help="Bundle whose weights the training starts from.", show_default=False),
    ] = None,
    init_partial: Annotated[
        bool, typer.Option("--init-partial", help="Leave out and list weights that do not fit.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings and stop.")] = False,
) -> None:
    """Train a model on pairs of images."""
    from im2im_core.registry import Registry

    registry = Registry.discover()
    chosen = {"model": model, "network": network, "discriminator": discriminator, "loss": loss}
    flags = flag_layer(data=data, channels=channel, task=task, **chosen)
    settings = resolve_settings(registry, preset=preset, config=config, flags=flags, sets=sets, resume=resume)
    if dry_run:
        typer.echo(settings.to_yaml(), nl=False)
        return
    if init_from and resume:
        raise typer.BadParameter("--resume goes on with weights of its own", param_hint="--init-from")
    if init_partial and not init_from:
        raise typer.BadParameter("name a bundle with --init-from", param_hint="--init-partial")
    run_training(registry, settings, out, resume, init_from=init_from, init_partial=init_partial)


def flag_layer(
    *, data: str | None, channels: Sequence[str] | None = None, task: str | None = None, **chosen: str | None
) -> dict[str, Any]:
    """Flags as a layer of configuration; of `chosen`, the component by section."""
    layer: dict[str, Any] = {section: {"name": name} for section, name in chosen.items() if name}
    dataset = {"path": data, "channels": list(channels or ())}
    if any(dataset.values()):
        layer["dataset"] = {name: value for name, value in dataset.items() if value}
    if task:
        layer["model"] = {**layer.get("model", {}), "task": task}
    return layer


def resolve_settings(
    registry: Registry,
    *,
    preset: str | None,
    config: Path | None,
    flags: dict[str, Any],
    sets: list[str] | None,
    resume: Path | None = None,
) -> RunConfig:
    """The run configuration; when resuming, that of the run itself lies lowest."""
    from im2im_core.config import resolve
    from im2im_core.errors import ConfigError
    from im2im_core.layers import overlay, read_yaml

    file = read_yaml(config) if config else {}
    if resume:
        if not (resume / "config.yaml").is_file():
            raise ConfigError(f"'{resume}' is not the folder of a run", "name the folder that holds config.yaml")
        file = overlay(read_yaml(resume / "config.yaml"), file)
    # The data are for whichever data set is chosen: `--set dataset.name=...` drops what the layers below it set.
    kept = [f"dataset.{name}={json.dumps(value)}" for name, value in flags.get("dataset", {}).items()]
    return resolve(registry, preset=preset, file=file, flags=flags, assignments=[*kept, *(sets or [])])


def run_training(
    registry: Registry,
    settings: RunConfig,
    out: Path,
    resume: Path | None = None,
    *,
    init_from: Path | None = None,
    init_partial: bool = False,
) -> Path:
    """Train, tell what happens, and write a report; returns the run's folder."""
    from im2im_core.bundle import find_bundle
    from im2im_core.cli.console import console
    from im2im_core.cli.report import report_run
    from im2im_core.interfaces import DataFacts
    from im2im_core.processes import rank, shared_run_folder
    from im2im_core.training import InitialWeights, find_checkpoint, new_run_dir
    from im2im_core.training import train as train_model

    checkpoint = find_checkpoint(resume) if resume else None
    terminal = console(quiet=rank() > 0)

    def announce(facts: DataFacts) -> None:
        channels = f"{facts.in_channels} -> {facts.target_channels} channel(s)"
        count = f"{facts.pairs} pairs of images"
        if facts.sides:
            count = f"{facts.sides[0]} images and {facts.sides[1]} targets that are no pairs"
        terminal.print(f"{count}, {facts.spatial_dims}D, {channels}; {settings.model.name}", highlight=False)
        terminal.print(f"run folder: {run_dir}", highlight=False)

    def left_out(names: list[str]) -> None:
        for name in names:
            terminal.print(f"  not in the bundle: {name}", highlight=False)
        terminal.print(f"weights from {init_from}; {len(names)} tensors start at random", highlight=False)

    start = InitialWeights(find_bundle(init_from), init_partial, left_out) if init_from else None
    with shared_run_folder(lambda: resume or new_run_dir(out, settings)) as run_dir:
        finished = train_model(registry, settings, run_dir, resume=checkpoint, init_from=start, announce=announce)
    if rank() > 0:
        return run_dir
    if finished.result.interrupted:
        terminal.print(f"stopped early; go on with: im2im train --resume {run_dir}", highlight=False)
    figures = ", ".join(f"{name} {value:.3f}" for name, value in list(finished.result.metrics.items())[:4])
    terminal.print(
        f"trained {finished.result.epochs} epochs in {finished.seconds:.0f} s" + (f": {figures}" if figures else "")
    )
    if tuned := finished.tuned:
        chosen = ", ".join(f"{path} {value}" for path, value in tuned.changed.items()) or "all settings kept"
        gain = f"{tuned.figure} {tuned.before:.3f} -> {tuned.after:.3f}"
        terminal.print(f"chosen on {tuned.images} validation images: {chosen} ({gain})", highlight=False)
    terminal.print(f"bundle: {finished.bundle}", highlight=False)
    report_run(registry, run_dir)
    return run_dir
