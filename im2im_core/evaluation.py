"""Metrics over pairs of images -> `Evaluation`. What cannot be read is reported, and the rest is finished."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from im2im_core.errors import DataError, Im2imError
from im2im_core.evaluation_record import AP_NOTE, NOTE, Case, Evaluation, write_evaluation
from im2im_core.image import AXES, SPATIAL_AXES, Image
from im2im_core.interfaces import NumpyArray, ReadImage, ScoreArrays
from im2im_core.matching import Matches, Pair, match_predictions

__all__ = [
    "Case",
    "Evaluation",
    "Matches",
    "Pair",
    "common_axes",
    "evaluate",
    "evaluate_baseline",
    "match_predictions",
    "write_evaluation",
]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""`progress(done, total)`, called after each pair."""
LoosePair = Pair | tuple[str, Path, Path, Path | None]
COUNTS = ("objects", "predicted_objects")
"""Figures that are added up over images, where all others are averaged."""


def evaluate(
    pairs: Matches | Sequence[LoosePair],
    metrics: Mapping[str, ScoreArrays],
    load: ReadImage,
    progress: Progress | None = None,
    *,
    primary: tuple[str, bool] | None = None,
    method: str = "",
) -> Evaluation:
    """Judge predictions that are stored in files.

    Args:
        pairs: (stem, prediction, target, image or None) of each image, or what `match_predictions` found.
        metrics: metric by name.
        load: opens a file.
        progress: told after each pair.
        primary: the figure that ranks the cases, and whether higher is better; by default the first one, higher.
        method: what made the predictions.
    """
    matches = pairs if isinstance(pairs, Matches) else Matches(tuple(Pair(*pair) for pair in pairs))
    errors = {
        str(target): "several predictions fit this target: " + ", ".join(f"'{path.name}'" for path in paths)
        for target, paths in matches.ambiguous.items()
    }
    cases = []
    for pair, figures in _judge(
        matches.pairs, lambda pair, target: _read(pair.prediction, load), metrics, load, progress, errors
    ):
        cases.append(Case(pair.stem, figures, pair.prediction, pair.target, pair.image))
    return _summary(cases, metrics, primary, method, errors, matches)


def evaluate_baseline(
    pairs: Sequence[LoosePair],
    metrics: Mapping[str, ScoreArrays],
    load: ReadImage,
    predict: Callable[[NumpyArray], NumpyArray],
    progress: Progress | None = None,
    *,
    primary: tuple[str, bool] | None = None,
    method: str = "baseline",
) -> Evaluation:
    """Judge what `predict` makes of the same images, so that a report can show it beside a model.

    Args:
        pairs: as for `evaluate`; the predictions in them are not looked at, and pairs without an image are left out.
        metrics: metric by name.
        load: opens a file.
        predict: from an image (Y, X) or (Z, Y, X) to a result of the same shape. It is given each channel of the image
            where the target has as many, else their mean, and then its result stands for all channels of the target.
        progress: told after each pair.
        primary: as for `evaluate`.
        method: what to call it.
    """

    def computed(pair: Pair, target: Image) -> Image:
        image = _read(pair.prediction, load)
        spatial = "".join(axis for axis in SPATIAL_AXES if axis in "YX" or image.sizes.get(axis, 1) > 1)
        channels = image.to_axes("C" + spatial).compute()
        wanted = target.sizes.get("C", 1)
        if len(channels) not in (1, wanted):
            channels = channels.mean(axis=0, keepdims=True)
        results = np.stack([predict(channel) for channel in channels])
        return Image(results if len(results) == wanted else np.repeat(results, wanted, axis=0), "C" + spatial)

    errors: dict[str, str] = {}
    usable = [pair._replace(prediction=pair.image) for pair in (Pair(*p) for p in pairs) if pair.image is not None]
    cases = []
    for pair, figures in _judge(usable, computed, metrics, load, progress, errors):
        cases.append(Case(pair.stem, figures, None, pair.target, pair.image))
    return _summary(cases, metrics, primary, method, errors)


def common_axes(prediction: Image, target: Image) -> str:
    """Axes in which both can be compared: Y, X, and whatever is longer than 1 in one of them.

    Raises:
        DataError: the sizes differ.
    """
    sizes = [image.sizes for image in (prediction, target)]
    axes = "".join(axis for axis in AXES if axis in "YX" or any(size.get(axis, 1) > 1 for size in sizes))
    for axis in axes:
        ours, theirs = (size.get(axis, 1) for size in sizes)
        if ours != theirs:
            raise DataError(
                f"the prediction has size '{ours}' along {axis}, and the target '{theirs}'",
                "compare a prediction with the target of the same image, at the same size",
            )
    return axes


def _judge(
    pairs: Sequence[Pair],
    predicted: Callable[[Pair, Image], Image],
    metrics: Mapping[str, ScoreArrays],
    load: ReadImage,
    progress: Progress | None,
    errors: dict[str, str],
) -> Iterable[tuple[Pair, dict[str, float]]]:
    """Figures of each usable pair; what is wrong with the others goes to `errors`."""
    for done, pair in enumerate(pairs, start=1):
        culprit = pair.target
        try:
            target = _read(pair.target, load)
            culprit = pair.prediction
            prediction = predicted(pair, target)
            axes = common_axes(prediction, target)
            figures = _figures(metrics, prediction.to_axes(axes).compute(), target.to_axes(axes).compute())
        except Exception as error:  # decoders raise whatever they like; one bad file must not cost the others
            logger.debug("cannot evaluate %s", culprit, exc_info=True)
            errors[str(culprit)] = str(error) if isinstance(error, Im2imError) else f"{type(error).__name__}: {error}"
        else:
            yield pair, figures
        if progress is not None:
            progress(done, len(pairs))


def _figures(metrics: Mapping[str, ScoreArrays], prediction: NumpyArray, target: NumpyArray) -> dict[str, float]:
    """What all metrics say.

    Raises:
        DataError: a figure is not finite: it would spoil the mean of all images unnoticed.
    """
    figures = {name: float(value) for metric in metrics.values() for name, value in metric(prediction, target).items()}
    for name, value in figures.items():
        if not math.isfinite(value):
            raise DataError(f"the figure '{name}' is '{value}' for this image", "leave that metric out")
    return figures


def _read(path: Path, load: ReadImage) -> Image:
    """An image with its pixels decoded, so that a damaged file shows here and is blamed by name."""
    image = load(path)
    return image.with_data(image.compute())


def _summary(
    cases: Sequence[Case],
    metrics: Mapping[str, ScoreArrays],
    primary: tuple[str, bool] | None,
    method: str,
    errors: Mapping[str, str],
    matches: Matches | None = None,
) -> Evaluation:
    names = list(dict.fromkeys(name for case in cases for name in case.metrics))
    values = {name: [case.metrics[name] for case in cases if name in case.metrics] for name in names}
    totals = {name: round(sum(values[name])) if name in values else None for name in COUNTS}
    ranking, higher_is_better = primary or (names[0] if names else "", True)
    return Evaluation(
        cases=tuple(cases),
        mean={name: math.fsum(values[name]) / len(values[name]) for name in names if name not in COUNTS},
        metrics=tuple(metrics),
        primary=ranking,
        higher_is_better=higher_is_better,
        objects=totals["objects"],
        predicted_objects=totals["predicted_objects"],
        method=method,
        unmatched_predictions=matches.unmatched_predictions if matches else (),
        unmatched_targets=matches.unmatched_targets if matches else (),
        errors=errors,
        note=NOTE + AP_NOTE if any(name.startswith("ap@") for name in names) else NOTE,
    )
