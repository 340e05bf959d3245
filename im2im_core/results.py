"""From a predictor and an image to results: labels, classes or images, a table of objects, the network's output.

What is large goes block by block: the result is written while the image is read, and only labels wait, on disk, until
all objects are known.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_core.interfaces import RegionWriter
from im2im_core.label_merging import LabelMerger, label_type
from im2im_core.object_table import ObjectTable
from im2im_core.prediction import Predictor, as_target

NumpyArray = np.ndarray[Any, Any]
Create = Callable[[Image, tuple[int, ...], Any], RegionWriter]
"""`create(like, shape, dtype)`: starts a file, or an array in memory, of the axes and the pixel size of `like`."""
Progress = Callable[[float], None]
# Bytes of prediction that post-processing may have to hold when it needs the whole image.
MOST_BYTES = 2**32


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to come out.

    Attributes:
        result: starts the result.
        raw: starts the network's output; None: it is not wanted.
        objects: a table of objects is wanted.
        scratch: folder for what waits; None: the system's temporary folder.
        block: pixels of a block, [Z], Y, X; None: as the image's dimensions suggest.
    """

    result: Create
    raw: Create | None = None
    objects: bool = False
    scratch: Path | None = None
    block: tuple[int, ...] | None = None


def predict_blocks(
    predictor: Predictor, image: Image, wanted: Wanted, progress: Progress | None = None
) -> list[dict[str, Any]] | None:
    """Predict an image of any size in bounded memory.

    Labels are equal to those of the whole image except where an object reaches further over a block's border than the
    halo of its post-processor.

    Returns:
        The table of objects, where it is wanted and the result are labels.

    Raises:
        DataError: a post-processor needs the whole image, and it is too large for that.
    """
    post = predictor.postprocessing(image)
    shape = image.channels_first(predictor.spatial_dims).shape[1:]
    if post.halo is None:
        needed = 4 * math.prod(shape) * predictor.out_channels
        if needed > MOST_BYTES:
            raise DataError(
                f"post-processing needs the whole image at once, and an image of {'x'.join(map(str, shape))} pixels "
                f"is too large for that ({needed / 2**30:.0f} GiB of predictions)",
                "cut the image into pieces",
            )
    halo = max(shape) if post.halo is None else post.halo
    block = shape if post.halo is None else wanted.block
    pixels = math.prod(shape)
    done = 0
    with ExitStack() as stack:
        raw = result = merger = None
        if post.labels:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=".labels-", dir=wanted.scratch))
            merger = LabelMerger(Path(scratch))
        for piece, predicted in predictor.blocks(image, halo, block):
            if wanted.raw:
                raw = raw or stack.enter_context(_raw(predictor, image, wanted.raw, len(predicted)))
                raw.write_region((0, *piece.start), predicted[(slice(None), *piece.inner)])
            if merger:
                merger.add(piece, *post.with_scores(predicted))
            else:
                found = as_target(post(predicted), predictor.bundle)
                channels = found.shape[: found.ndim - len(shape)]
                result = result or stack.enter_context(
                    started(wanted.result, _like(predictor, image, channels, shape, found.dtype))
                )
                inner = (*(slice(None) for _ in channels), *piece.inner)
                result.write_region((*(0 for _ in channels), *piece.start), found[inner])
            done += math.prod(part.stop - part.start for part in piece.core)
            if progress:
                progress(done / pixels)
        return _merged(predictor, image, merger, wanted) if merger else None


def _merged(predictor: Predictor, image: Image, merger: LabelMerger, wanted: Wanted) -> list[dict[str, Any]] | None:
    shape = image.channels_first(predictor.spatial_dims).shape[1:]
    scores = merger.finish()
    like = _like(predictor, image, (), shape, label_type(merger.count))
    table = ObjectTable(like.axes, merger.count) if wanted.objects else None
    with started(wanted.result, like) as result:
        for piece, labels in merger.cores():
            result.write_region(piece.start, labels)
            if table:
                table.add(labels, piece.start)
    return table.rows(pixel_size_of(predictor, image), scores) if table else None


def pixel_size_of(predictor: Predictor, image: Image) -> dict[str, float]:
    """Micrometre per axis: of the image where it states them, else of the training data."""
    return {**predictor.bundle.manifest.pixel_size, **image.pixel_size}


def raw_image(predictor: Predictor, raw: NumpyArray, image: Image) -> Image:
    """The network's output with its axes and, where the model names them in `output_names`, names of channels."""
    plain = predictor.as_image(raw, image)
    names = tuple(getattr(predictor.model, "output_names", ()))
    return Image(plain.data, plain.axes, plain.pixel_size, names if len(names) == len(raw) else ())


def _like(predictor: Predictor, image: Image, channels: tuple[int, ...], shape: tuple[int, ...], dtype: Any) -> Image:
    """An image of that form without memory for its pixels."""
    return predictor.as_image(np.broadcast_to(np.zeros((), dtype), (*channels, *shape)), image)


@contextmanager
def _raw(predictor: Predictor, image: Image, create: Create, channels: int) -> Iterator[RegionWriter]:
    shape = image.channels_first(predictor.spatial_dims).shape[1:]
    empty = np.broadcast_to(np.zeros((), np.float32), (channels, *shape))
    with started(create, raw_image(predictor, empty, image)) as writer:
        yield writer


@contextmanager
def started(create: Create, like: Image) -> Iterator[RegionWriter]:
    """A file that is completed when all went well, and leaves nothing behind otherwise."""
    writer = create(like, like.shape, like.dtype)
    try:
        yield writer
    except BaseException:
        writer.abort()
        raise
    writer.close()
