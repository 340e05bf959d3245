"""Numbers that were predicted for images, against numbers -> `Evaluation`. Figures are over the set, not per image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from im2im_core.errors import DataError, Im2imError
from im2im_core.evaluation_record import Case, Evaluation
from im2im_core.filenames import stem_of
from im2im_core.interfaces import NumpyArray, ReadImage, ScoreArrays
from im2im_core.layouts import find_subjects
from im2im_core.values_table import TABLE_NAME, read_values

BASELINE = "mean of these targets"
NOTE = (
    "Figures are over all images of the set. The trivial method says the mean of the targets evaluated here for every "
    "image, since that of the training targets is not known."
)


def find_values(predictions: Path, suffixes: Sequence[str]) -> Path | None:
    """The table of values that `predictions` is, or holds while it holds no image; None: it is about images.

    Args:
        predictions: what is to be evaluated.
        suffixes: of image files.
    """
    if predictions.is_file():
        return predictions if predictions.suffix.lower() == ".csv" else None
    table = predictions / TABLE_NAME
    if not table.is_file():
        return None
    images = [path for path in predictions.iterdir() if path.name.lower().endswith(tuple(suffixes))]
    return None if images else table


def evaluate_values(
    predictions: Path,
    targets: str,
    metrics: Mapping[str, ScoreArrays],
    load: ReadImage,
    *,
    primary: tuple[str, bool] | None = None,
) -> tuple[Evaluation, Evaluation]:
    """Compare predicted numbers with targets by the names of their images.

    Args:
        predictions: table with the columns image and value.
        targets: table with the columns image and target, or a folder in a training layout, of whose target images the
            mean is taken.
        metrics: metric by name, each given all values and all targets as arrays (N,).
        load: opens a file.
        primary: the figure that counts, and whether higher is better.

    Returns:
        What the predictions reach, and what the mean of the targets would reach in their place.

    Raises:
        DataError: a table cannot be used, or no image is in both.
    """
    values = {stem_of(name): value for name, value in read_values(predictions).items()}
    errors: dict[str, str] = {}
    pairs, unmatched = [], []
    subjects = find_subjects(targets)
    for subject in subjects:
        if subject.stem not in values:
            unmatched.append(subject.image)
            continue
        try:
            target = subject.value if subject.target is None else _mean(subject.target, load)
        except Exception as error:  # as for images: one bad file must not cost the others
            errors[str(subject.target)] = error.message if isinstance(error, Im2imError) else repr(error)
            continue
        assert target is not None  # the listing saw to it
        pairs.append((subject, values[subject.stem], target))
    if not pairs:
        raise DataError(
            f"no image of '{predictions}' has a target in '{targets}'", "images are found by their names; check both"
        )
    stems = {subject.stem for subject in subjects}
    numbers, wanted = np.array([value for _, value, _ in pairs]), np.array([target for *_, target in pairs])
    figure, higher_is_better = primary or ("", False)
    found = Evaluation(
        cases=tuple(
            Case(
                subject.stem,
                {"mae": abs(value - target), "value": value, "target": target},
                None,
                subject.target or Path(targets),
                subject.image,
            )
            for subject, value, target in pairs
        ),
        mean=_figures(metrics, numbers, wanted),
        metrics=tuple(metrics),
        primary=figure,
        higher_is_better=higher_is_better,
        method="prediction",
        unmatched_predictions=tuple(Path(stem) for stem in values if stem not in stems),
        unmatched_targets=tuple(unmatched),
        errors=errors,
        note=NOTE,
        over_set=True,
    )
    middle = float(wanted.mean())
    cases = [
        replace(case, metrics={"mae": abs(middle - case.metrics["target"]), "value": middle, "target": target})
        for case, target in zip(found.cases, wanted.tolist(), strict=True)
    ]
    constant = np.full_like(wanted, middle)
    trivial = replace(
        found,
        cases=tuple(cases),
        mean=_figures(metrics, constant, wanted),
        method=BASELINE,
        unmatched_predictions=(),
        unmatched_targets=(),
        errors={},
    )
    return found, trivial


def _mean(path: Path, load: ReadImage) -> float:
    mean = float(np.mean(load(path).compute(), dtype=np.float64))
    if not math.isfinite(mean):
        raise DataError("the target holds NaN or infinite pixels")
    return mean


def _figures(metrics: Mapping[str, ScoreArrays], values: NumpyArray, targets: NumpyArray) -> dict[str, float]:
    figures = {name: float(figure) for each in metrics.values() for name, figure in each(values, targets).items()}
    for name, figure in figures.items():
        if not math.isfinite(figure):
            raise DataError(f"the figure '{name}' is '{figure}' for these values", "leave that metric out")
    return figures
