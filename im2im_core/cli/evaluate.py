"""`im2im evaluate`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from im2im_core.cli.completion import names_of

if TYPE_CHECKING:
    from im2im_core.config import Choice
    from im2im_core.evaluation import Evaluation
    from im2im_core.image import Image
    from im2im_core.interfaces import ReadImage, ScoreArrays
    from im2im_core.matching import Matches
    from im2im_core.registry import Registry

LABELS, CLASSES, IMAGES = ("average-precision",), ("dice", "iou"), ("psnr", "ssim", "pearson", "mae")
VALUES = ("mae", "rmse", "pearson")


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predictions, or one of them; of numbers, values.csv.")],
    targets: Annotated[str, typer.Argument(help="Folder or CSV of targets, in any of the training layouts.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metric, may be repeated; chosen by the data when left out.",
            show_default=False,
            autocompletion=names_of("metric"),
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of a metric, as dice.foreground=true; may be repeated. See im2im show metric NAME.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the report; PREDICTIONS-evaluation when left out.", show_default=False),
    ] = None,
    baseline: Annotated[
        bool,
        typer.Option(
            "--baseline/--no-baseline",
            help="A trivial method beside it: Otsu and watershed, Otsu, the image as it is or blurred, or a mean.",
        ),
    ] = True,
) -> None:
    """Compare predictions with targets and write a report."""
    from im2im_core.registry import Registry

    registry = Registry.discover()
    folder = out or predictions.parent / f"{predictions.name.removesuffix('.csv')}-evaluation"
    result = run_evaluation(registry, predictions, targets, metric or [], folder, sets=sets or (), baseline=baseline)
    for name, message in result.errors.items():
        typer.echo(f"error: {message}" if name in message else f"error: '{name}': {message}", err=True)
    for path in result.unmatched_predictions:
        typer.echo(f"no target for prediction '{path}'", err=True)
    for path in result.unmatched_targets:
        typer.echo(f"no prediction for target '{path}'", err=True)
    if result.errors or result.unmatched_targets:
        raise typer.Exit(1)


def run_evaluation(
    registry: Registry,
    predictions: Path,
    targets: str,
    names: Sequence[str],
    folder: Path,
    *,
    sets: Sequence[str] = (),
    baseline: bool = True,
    run_dir: Path | None = None,
    title: str = "Evaluation",
) -> Evaluation:
    """Judge, print the table, and write figures and report into `folder`."""
    from im2im_core.build import build_metrics, build_set_metrics
    from im2im_core.cli.console import console
    from im2im_core.cli.report import BASELINE, write
    from im2im_core.evaluation import evaluate as judge
    from im2im_core.evaluation import write_evaluation
    from im2im_core.files import check_writable, write_text
    from im2im_core.formats import image_loader, known_suffixes
    from im2im_core.layouts import find_targets
    from im2im_core.matching import Matches, match_predictions, prediction_files
    from im2im_core.metric_choice import choose_metrics, settings_in_words
    from im2im_core.set_evaluation import add_sets
    from im2im_core.value_evaluation import evaluate_values, find_values

    choices = choose_metrics(registry, names, sets) if names else []  # first of all: mistakes are told at once
    of_sets = [choice for choice in choices if choice.component.of_sets]
    choices = [choice for choice in choices if not choice.component.of_sets]
    load, suffixes = image_loader(registry), known_suffixes(registry)
    values = None if of_sets else find_values(predictions, suffixes)
    beside: Evaluation | None
    if values:
        choices = choices or choose_metrics(registry, VALUES, sets)
        result, beside = evaluate_values(values, targets, build_metrics(choices), load, primary=_primary(choices))
        beside = beside if baseline else None
    else:
        matches = Matches(())
        if choices or not of_sets:
            matches = match_predictions(predictions, find_pairs(targets, suffixes), suffixes)
        check_writable(folder)
        if not names:
            choices = choose_metrics(registry, guess_metrics(matches, load), sets)
        metrics, primary = build_metrics(choices), _primary([*choices, *of_sets])
        with _Bar("evaluating") as bar:
            result = judge(matches, metrics, load, bar, primary=primary, method="prediction")
        if of_sets:
            files = [path for _, path in find_targets(targets, suffixes)]
            result = add_sets(result, build_set_metrics(of_sets), prediction_files(predictions, suffixes), files, load)
        beside = judge_baseline(matches, choices, metrics, load, primary) if baseline else None
    result = replace(result, note=result.note + settings_in_words([*choices, *of_sets]))
    write_evaluation(result, folder)
    if beside:
        write_text(folder / BASELINE, beside.to_json())
    else:
        (folder / BASELINE).unlink(missing_ok=True)
    print_table(result, beside)
    page = write(folder, title=title, evaluation=result, baseline=beside, run_dir=run_dir, load=load)
    console().print(f"report: {page}", highlight=False)
    return result


def _primary(choices: Sequence[Choice]) -> tuple[str, bool] | None:
    """The figure that ranks the images, and whether higher is better."""
    return next(((c.component.primary, c.component.higher_is_better) for c in choices if c.component.primary), None)


def judge_baseline(
    matches: Matches,
    choices: Sequence[Choice],
    metrics: Mapping[str, ScoreArrays],
    load: ReadImage,
    primary: tuple[str, bool] | None,
) -> Evaluation | None:
    """The strongest of the trivial methods that suit the metrics, chosen with the targets in view; None: none suits."""
    from im2im_core import baseline
    from im2im_core.evaluation import evaluate_baseline

    kinds = (
        (LABELS, {baseline.BASELINE_NAME: baseline.otsu_watershed}),
        (CLASSES, baseline.CLASS_BASELINES),
        ((*IMAGES, "rmse"), baseline.IMAGE_BASELINES),
    )
    names = [choice.component.name for choice in choices]
    candidates = next((methods for suited, methods in kinds if any(name in suited for name in names)), {})
    found = []
    for name, method in candidates.items():
        with _Bar("baseline") as bar:
            found.append(evaluate_baseline(matches.pairs, metrics, load, method, bar, primary=primary, method=name))
    figure, higher_is_better = primary or ("", True)
    sign = 1 if higher_is_better else -1
    return max(found, key=lambda each: sign * each.mean.get(figure, -sign * math.inf), default=None)


def find_pairs(targets: str, suffixes: Sequence[str]) -> list[tuple[str, Path | None, Path]]:
    """(stem, image, target) of a training layout, or of a plain folder of targets without images."""
    from im2im_core.errors import DataError
    from im2im_core.layouts import find_subjects, find_targets

    found: list[tuple[str, Path | None, Path]] = []
    with suppress(DataError):  # it may be a plain folder of targets
        found = [(subject.stem, subject.image, subject.target) for subject in find_subjects(targets) if subject.target]
    return found or [(stem, None, path) for stem, path in find_targets(targets, suffixes)]


def guess_metrics(matches: Matches, load: ReadImage) -> Sequence[str]:
    """Metrics that suit the first readable pair: of labels, of classes, or of images."""
    from im2im_core.errors import DataError

    for pair in matches.pairs:
        try:
            arrays = [_middle(load(path)) for path in (pair.prediction, pair.target)]
        except DataError:
            continue
        if not all(_is_map(array) for array in arrays):
            return IMAGES
        return CLASSES if all(array.max() <= 1 for array in arrays) else LABELS
    return LABELS


def _middle(image: Image) -> Any:
    """One plane from the middle of the image."""
    import numpy as np

    index = tuple(
        slice(None) if axis in "YX" else size // 2 for axis, size in zip(image.axes, image.shape, strict=True)
    )
    return np.asarray(image.data[index])


def _is_map(array: Any) -> bool:
    """Labels and classes are whole numbers and flat inside an object; an image has noise."""
    return array.dtype.kind in "uib" and float((array[..., 1:] == array[..., :-1]).mean()) > 0.75


def print_table(result: Evaluation, baseline: Evaluation | None) -> None:
    """The figures, and those of the trivial method beside them."""
    from rich.table import Table

    from im2im_core.cli.console import console

    title = f"{len(result.cases)} images, figures {'over all of them' if result.over_set else 'averaged over images'}"
    if result.sets and not result.cases:
        title = f"{result.sets[0]} predictions against {result.sets[1]} targets, not in pairs"
    columns = ["metric", result.method or "prediction"] + ([baseline.method] if baseline else [])
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in result.mean.items():
        row = [name, f"{value:.4f}"]
        if baseline:
            row.append(f"{baseline.mean[name]:.4f}" if name in baseline.mean else "")
        table.add_row(*row)
    console().print(table)


class _Bar:
    """A rich progress bar as the callback `progress(done, total)`."""

    def __init__(self, description: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        terminal = Console(stderr=True)
        self._progress = Progress(console=terminal, disable=not terminal.is_terminal, transient=True)
        self._task = self._progress.add_task(description, total=None)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)
