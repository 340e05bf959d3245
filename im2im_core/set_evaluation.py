"""Metrics of whole sets: all predictions together against all targets together, which need not be pairs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from im2im_core.errors import DataError, Im2imError
from im2im_core.evaluation_record import NOTE, Evaluation
from im2im_core.interfaces import NumpyArray, ReadImage, ScoreSets

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StoredImages:
    """Images in files as arrays (C, [Z,] Y, X), decoded one by one each time they are gone through.

    Attributes:
        paths: the files.
        load: opens a file.
        errors: what is wrong, by file; such files are left out.
    """

    paths: Sequence[Path]
    load: ReadImage
    errors: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[NumpyArray]:
        for path in self.paths:
            try:
                image = self.load(path)
                array = image.channels_first(image.spatial_dims).compute()
            except Exception as error:  # decoders raise whatever they like; one bad file must not cost the others
                logger.debug("cannot evaluate %s", path, exc_info=True)
                known = isinstance(error, Im2imError)
                self.errors[str(path)] = str(error) if known else f"{type(error).__name__}: {error}"
            else:
                yield array


def add_sets(
    evaluation: Evaluation,
    metrics: Mapping[str, ScoreSets],
    predictions: Sequence[Path],
    targets: Sequence[Path],
    load: ReadImage,
) -> Evaluation:
    """An evaluation with the figures of whole sets added to its means.

    Args:
        evaluation: of pairs; empty where there are none.
        metrics: metric of sets by name.
        predictions: files.
        targets: files, as many or not.
        load: opens a file.

    Raises:
        DataError: the sets cannot be compared.
    """
    ours, theirs = StoredImages(predictions, load), StoredImages(targets, load)
    figures: dict[str, float] = {}
    for name, metric in metrics.items():
        found = metric(ours, theirs)
        wrong = next((figure for figure, value in found.items() if not math.isfinite(value)), None)
        if wrong:
            raise DataError(f"the figure '{wrong}' is '{found[wrong]}'", f"leave the metric '{name}' out")
        figures |= found
    sets = (len(ours.paths) - len(ours.errors), len(theirs.paths) - len(theirs.errors))
    note = f"Of all {sets[0]} predictions against all {sets[1]} targets, without pairs: {', '.join(metrics)}."
    return replace(
        evaluation,
        mean={**evaluation.mean, **{name: float(value) for name, value in figures.items()}},
        metrics=(*evaluation.metrics, *metrics),
        primary=evaluation.primary or next(iter(figures), ""),
        sets=sets,
        errors={**evaluation.errors, **ours.errors, **theirs.errors},
        note=f"{evaluation.note} {note}" if evaluation.cases else evaluation.note.replace(NOTE, note),
    )
