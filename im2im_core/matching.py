"""Which prediction belongs to which target: by stem."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from im2im_core.errors import DataError
from im2im_core.filenames import NOT_IMAGES, is_image_folder, split_suffix

# Words that im2im and common tools append to a stem. A closed list: "X_2" must stay another image than "X".
_ENDINGS = re.compile(
    r"[_.\- ](im|gt|labels?|label_image|pred(ict(ion|ed|ions))?|masks?|cp_masks|seg(mentation|mented)?"
    r"|instances?|results?|outputs?|restored|denoised)$",
    re.IGNORECASE,
)


class Pair(NamedTuple):
    """A prediction and what it should be."""

    stem: str
    prediction: Path
    target: Path
    image: Path | None = None


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found.

    Attributes:
        pairs: one per target with exactly one prediction, in the order of the targets.
        unmatched_predictions: files that belong to no target.
        unmatched_targets: targets without prediction.
        ambiguous: targets with several predictions, none of which is used.
    """

    pairs: tuple[Pair, ...]
    unmatched_predictions: tuple[Path, ...] = ()
    unmatched_targets: tuple[Path, ...] = ()
    ambiguous: dict[Path, tuple[Path, ...]] = field(default_factory=dict)


def match_predictions(
    predictions: Path, targets: Sequence[tuple[str, Path | None, Path]], suffixes: Sequence[str] = ()
) -> Matches:
    """Find the prediction of each target.

    A prediction belongs to the target with the stem `X` when it is called `X` with any suffix, or `X` followed by a
    word such as `_IM`, `_labels` or `_prediction`. The longest fitting stem wins.

    Args:
        predictions: one file, or a folder of files (a `.zarr` folder counts as one file).
        targets: (stem, image or None, target) of each target.
        suffixes: suffixes of the files to look at, such as ".tiff"; by default all but tables, reports and the like.

    Raises:
        DataError: `predictions` does not exist, holds nothing, or two targets share a stem.
    """
    stems = {stem for stem, _, _ in targets}
    if len(stems) < len(targets):
        twice = next(stem for stem in stems if sum(stem == other for other, _, _ in targets) > 1)
        raise DataError(f"two targets have the stem '{twice}'", "give them different names")
    files = prediction_files(predictions, suffixes)
    found: dict[str, list[Path]] = defaultdict(list)
    unmatched = []
    for path in files:
        stem = next((candidate for candidate in _stems(path) if candidate in stems), None)
        if stem is None:
            unmatched.append(path)
        else:
            found[stem].append(path)
    if len(files) == len(targets) == len(unmatched) == 1 and _is_file(predictions):
        found[targets[0][0]] = [unmatched.pop()]  # one file against one file: the names need not agree
    return Matches(
        tuple(Pair(stem, found[stem][0], target, image) for stem, image, target in targets if len(found[stem]) == 1),
        tuple(unmatched),
        tuple(target for stem, _, target in targets if not found[stem]),
        {target: tuple(found[stem]) for stem, _, target in targets if len(found[stem]) > 1},
    )


def prediction_files(predictions: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder of predictions, or the one that is named.

    Raises:
        DataError: there are none.
    """
    if _is_file(predictions):
        return [predictions]
    if not predictions.is_dir():
        raise DataError(f"there are no predictions at '{predictions}'", "check the path, or run `im2im predict` first")
    files = [path for path in sorted(predictions.iterdir()) if _is_file(path) and not path.name.startswith(".")]
    wanted = tuple(suffix.lower() for suffix in suffixes)
    if wanted:
        files = [path for path in files if path.name.lower().endswith(wanted)]
    else:
        files = [path for path in files if path.suffix.lower() not in NOT_IMAGES]
    if not files:
        raise DataError(f"the folder '{predictions}' holds no images", "run `im2im predict` first")
    return files


def _is_file(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and is_image_folder(path.name))


def _stems(path: Path) -> Iterator[str]:
    """Names that the target may have, the longest first."""
    stem, _ = split_suffix(path.name)
    while stem:
        yield stem
        shorter = _ENDINGS.sub("", stem)
        if shorter == stem:
            return
        stem = shorter
