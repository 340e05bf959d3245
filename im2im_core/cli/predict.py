"""`im2im predict`."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from im2im_core.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from im2im_core.errors import Im2imError
    from im2im_core.image import Image
    from im2im_core.registry import Registry
    from im2im_core.selection import Part
    from im2im_core.uncertainty import Sampling

_log = logging.getLogger(__name__)


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
        device=device,
        window=window,
        overlap=overlap,
        batch=batch,
        direction=direction,
        ensemble=ensemble or (),
        sampling=sampling,
        objects=objects,
        raw=raw,
        part=Part(int(scene) if scene is not None and scene.isdecimal() else scene, time, tuple(channel or ())),
    )
    report_failures(failed)


def run_prediction(
    registry: Registry,
    bundle: Path,
    images: str,
    out: Path,
    *,
    suffix: str = ".tiff",
    device: str = "auto",
    window: str | None = None,
    overlap: float | None = None,
    batch: int = 4,
    direction: str | None = None,
    ensemble: Sequence[Path] = (),
    sampling: Sampling | None = None,
    objects: bool = True,
    raw: bool = False,
    part: Part | None = None,
) -> list[tuple[Path, Im2imError]]:
    """Predict every image; returns those that could not be."""
    from im2im_core.bundle import open_bundle
    from im2im_core.cli.console import console
    from im2im_core.direction import in_direction
    from im2im_core.errors import Im2imError
    from im2im_core.files import check_writable
    from im2im_core.formats import image_loader, image_writer, known_suffixes
    from im2im_core.layouts import find_images
    from im2im_core.progress import shares

    opened, *others = [open_bundle(path, registry) for path in (bundle, *ensemble)]
    if direction is not None:
        opened, *others = [in_direction(each, direction) for each in (opened, *others)]
    found = find_images(images, suffixes=known_suffixes(registry))
    sizes = window_sizes(window, opened.manifest.spatial_dims)
    named = opened.manifest.task in ("semantic-segmentation", "instance-segmentation")
    writer = image_writer(registry, Path(f"result{suffix}"), labels=named)
    check_writable(out)

    from im2im_core.result_files import ResultFiles
    from im2im_core.cli.uncertainty import write_maps
    from im2im_core.prediction import Predictor
    from im2im_core.uncertainty import check_sampling, predict_uncertain
    from im2im_core.values_table import values_table

    predictors = [
        Predictor(each, device=device, window=sizes, overlap=overlap, batch=batch) for each in (opened, *others)
    ]
    if sampling:
        check_sampling(predictors, sampling)
    load = image_loader(registry, opened.config.reader, scene=part.scene if part else None)
    chosen = part.of if part else (lambda image: image)
    failed: list[tuple[Path, Im2imError]] = []
    values = values_table(opened.manifest.task, out)
    plain = image_writer(registry, Path(f"output{suffix}"))
    files = ResultFiles(out, suffix, writer, objects, plain if raw else None)
    with values or nullcontext(), shares("predicting", len(found)) as progress:
        for stem, path in progress.each(found):
            try:
                if sampling is None and not values:
                    files.predict(predictors[0], chosen(load(path)), stem, progress.part)
                    continue
                maps: Mapping[str, Image] = {}
                if sampling is None:
                    result = predictors[0].predict(chosen(load(path)))
                else:
                    result, maps = predict_uncertain(predictors, chosen(load(path)), sampling)
                if values:
                    values.add(path, result, maps)
                else:
                    write_maps(registry, out, stem, suffix, maps)
                    writer.write(out / f"{stem}{suffix}", result)
            except Im2imError as error:
                failed.append((path, error))
            except Exception as error:  # whatever happens to one image, the others are finished
                _log.debug("cannot predict '%s'", path, exc_info=True)
                reason = f"'{path}': {type(error).__name__}: {error}"
                failed.append((path, Im2imError(reason, "if memory ran out, try a smaller --window or --batch")))
    where = values.path if values else out
    console().print(f"{len(found) - len(failed)} of {len(found)} images predicted: {where}", highlight=False)
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


def window_sizes(text: str | None, dims: int) -> tuple[int, ...] | None:
    """The value of --window: one number for all axes, or one per axis."""
    if text is None:
        return None
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    sizes = sizes * dims if len(sizes) == 1 else sizes
    if len(sizes) != dims or min(sizes) < 8:
        raise typer.BadParameter(f"'{text}' is not one number or {dims} numbers of at least 8", param_hint="--window")
    return sizes
