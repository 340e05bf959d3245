"""`im2im predict`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from im2im_core.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from im2im_core.cluster import Workers
    from im2im_core.errors import Im2imError
    from im2im_core.registry import Registry


def predict(
    bundle: Annotated[Path, typer.Argument(help="Bundle of a trained model, or the run that holds it.")],
    images: Annotated[str, typer.Argument(help="An image, a folder, a glob pattern, or a CSV with a column 'image'.")],
    out: Annotated[Path, typer.Argument(help="Folder for the results; of a regression, for values.csv.")],
    suffix: Annotated[
        str, typer.Option("--suffix", help="Format of the results: .tiff, .ome.zarr, .npy, .png.")
    ] = ".tiff",
    device: options.Device = "auto",
    window: Annotated[
        str | None, typer.Option("--window", help="Pixels per window, one number or Y,X or Z,Y,X.", show_default=False)
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", min=0, max=0.9, help="Share by which windows overlap.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Windows per forward pass.")] = 4,
    block: Annotated[
        str | None,
        typer.Option(
            "--block",
            help="Pixels per block, one number or Y,X or Z,Y,X; larger images are predicted block by block.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Of the network's arithmetic: float32, or bf16 where the device has it.")
    ] = "float32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network first, which pays for many or large images.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes on this machine that predict side by side.")
    ] = 0,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of a running dask cluster, as tcp://host:8786.", show_default=False),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Predict also what is finished by the same model and settings.")
    ] = False,
    direction: Annotated[
        str | None,
        typer.Option(
            "--direction", help="a-to-b or b-to-a, for models that learn both ways, as cyclegan.", show_default=False
        ),
    ] = None,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option("--ensemble", help="One more bundle; the result is of the mean. May be repeated."),
    ] = None,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            "--uncertainty",
            help="Predict several times, and write mean, variance and, for classes, entropy and mutual information: "
            "test-time-augmentation, perturbation, dropout, samples (of probabilistic models), ensemble.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=2, max=1000, help="Predictions per image for --uncertainty.")
    ] = 8,
    strength: Annotated[
        float,
        typer.Option("--strength", min=0, max=1, help="Of a perturbation, in shares of the image's contrast."),
    ] = 0.1,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects/--no-objects", help="Of instance segmentation: a table of the objects as objects/NAME.csv."
        ),
    ] = True,
    scene: Annotated[
        str | None,
        typer.Option("--scene", help="Image of a file that holds several: number from 0, or name.", show_default=False),
    ] = None,
    time: Annotated[
        int | None,
        typer.Option("--time", min=0, help="Time point from 0 of a time-lapse; by default all.", show_default=False),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", help="Channel to give to the model: name, or number from 0. May be repeated."),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Also write the network's output, before post-processing, into network-output/."),
    ] = False,
) -> None:
    """Apply a trained model to images."""
    from im2im_core.cluster import Workers
    from im2im_core.execution import Execution
    from im2im_core.registry import Registry
    from im2im_core.selection import Part

    sampling = None
    if uncertainty or ensemble:
        from im2im_core.cli.uncertainty import chosen_sampling

        sampling = chosen_sampling(uncertainty, samples, strength, ensemble)

    failed = run_prediction(
        Registry.discover(),
        bundle,
        images,
        out,
        suffix=suffix,
        execution=Execution(device=device, precision=precision, compiled=compiled),
        window=sizes(window, "--window"),
        overlap=overlap,
        batch=batch,
        block=sizes(block, "--block"),
        direction=direction,
        ensemble=ensemble or (),
        sampling=sampling,
        objects=objects,
        raw=raw,
        part=Part(int(scene) if scene is not None and scene.isdecimal() else scene, time, tuple(channel or ())),
        workers=Workers(workers, scheduler),
        again=again,
    )
    report_failures(failed)


def run_prediction(
    registry: Registry,
    bundle: Path,
    images: str,
    out: Path,
    *,
    ensemble: Sequence[Path] = (),
    workers: Workers | None = None,
    again: bool = False,
    **settings: Any,
) -> list[tuple[Path, Im2imError]]:
    """Predict every image; returns those that could not be.

    Args:
        registry: the installed plug-ins.
        bundle: of the model.
        images: file, folder, pattern or table.
        out: folder of the results.
        ensemble: further bundles.
        workers: processes that do it; None: this one.
        again: predict what is finished, too.
        settings: further attributes of a `PredictionJob`.
    """
    from im2im_core.cli.console import console
    from im2im_core.errors import ConfigError
    from im2im_core.finished import FinishedFiles
    from im2im_core.formats import known_suffixes
    from im2im_core.layouts import find_images
    from im2im_core.prediction_job import OpenedJob, PredictionJob, attempt
    from im2im_core.progress import shares
    from im2im_core.values_table import values_table

    # A worker may stand in another folder; an error names a path as the user did.
    place = Path.absolute if workers else Path
    job = PredictionJob(bundles=tuple(place(path) for path in (bundle, *ensemble)), out=place(out), **settings)
    opened = OpenedJob(job, registry)
    if workers and opened.numbers:
        raise ConfigError("numbers of images are predicted by one process", "leave --workers and --scheduler out")
    found = find_images(images, suffixes=known_suffixes(registry))
    finished = FinishedFiles(opened.job.out, opened.key)
    known = [] if again or opened.numbers else [stem for stem, path in found if finished.has(stem, path)]
    todo = [(stem, place(path)) for stem, path in found if stem not in known]
    if todo:
        opened.load()
    values = values_table(opened.task, out)
    failed: list[tuple[Path, Im2imError]] = []
    with values or nullcontext(), shares("predicting", len(todo)) as progress:
        if workers and todo:
            from im2im_core.cluster import connected
            from im2im_core.distribution import Distribution

            with connected(workers) as client:
                failed += Distribution(opened, finished, client, workers.threads).run(todo, progress.done)
            todo = []
        for stem, path in progress.each(todo):

            def work(stem: str = stem, path: Path = path) -> None:
                image = opened.image(path)
                if values:
                    values.add(path, *opened.result(image))
                else:
                    finished.add(stem, path, opened.predict(image, stem, progress.part))

            if (failure := attempt(work, path)) is not None:
                failed.append((path, failure))
    where = values.path if values else out
    console().print(f"{len(found) - len(failed)} of {len(found)} images predicted: {where}", highlight=False)
    if known:
        text = f"{len(known)} of them were finished before, by the same model and settings; --again predicts them anew"
        console().print(text, highlight=False)
    return failed


def report_failures(failed: list[tuple[Path, Im2imError]]) -> None:
    """Name the files that could not be used and end with exit code 1."""
    for path, error in failed:
        message = error.message if str(path) in error.message else f"'{path}': {error.message}"
        typer.echo(f"error: {message}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
    if failed:
        raise typer.Exit(1)


def sizes(text: str | None, option: str) -> tuple[int, ...] | None:
    """The value of --window or --block: one number for all axes, or one per axis."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not numbers as 256 or 64,256,256", param_hint=option) from None
