"""Results block by block: labels, classes or images, a table of objects, the network's output.

The result is written while the image is read, and only labels wait, on disk, until all objects are known.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.blocks import Block
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
Predicted = Iterable[tuple[Block, NumpyArray]]
"""Blocks and the network's output (K, [Z], Y, X) for what they read."""
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


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What became of a block.

    Attributes:
        block: which one.
        found: labels of the block and its halo, `block.read`; or classes or an image of its core, ([K], [Z], Y, X).
        scores: of the labels from 1 on; None: unknown.
        raw: the network's output for the core, (K, [Z], Y, X); None: it is not wanted.
        path: file that holds `found` already; None: there is none.
    """

    block: Block
    found: NumpyArray
    scores: NumpyArray | None = None
    raw: NumpyArray | None = None
    path: Path | None = None


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
    pixels = math.prod(image.channels_first(predictor.spatial_dims).shape[1:])
    done = 0
    with Assembly(predictor, image, wanted) as assembly:
        for predicted in _predictions(predictor, image, wanted.block):
            for result in block_results(predictor, image, predicted, raw=wanted.raw is not None):
                assembly.add(result)
                done += math.prod(part.stop - part.start for part in result.block.core)
                if progress:
                    progress(done / pixels)
        return assembly.finish()


def _predictions(predictor: Predictor, image: Image, block: tuple[int, ...] | None) -> Iterator[Predicted]:
    """All blocks; or pieces in their place, where post-processing looks at one pixel after the other."""
    post = predictor.postprocessing(image)
    if post.halo == 0 and not post.labels and block is None:
        for stripe in predictor.stripes(image):
            yield predictor.pieces(image, stripe)
        return
    for group in planned(predictor, image, block):
        yield predictor.blocks(image, group)


def planned(predictor: Predictor, image: Image, block: tuple[int, ...] | None = None) -> list[list[Block]]:
    """The blocks of an image with the halo that its post-processing needs, in groups that are predicted together.

    Raises:
        DataError: a post-processor needs the whole image, and it is too large for that.
    """
    halo = predictor.postprocessing(image).halo
    shape = image.channels_first(predictor.spatial_dims).shape[1:]
    if halo is not None:
        return predictor.columns(image, halo, block)
    needed = 4 * math.prod(shape) * predictor.out_channels
    if needed > MOST_BYTES:
        raise DataError(
            f"post-processing needs the whole image at once, and an image of {'x'.join(map(str, shape))} pixels "
            f"is too large for that ({needed / 2**30:.0f} GiB of predictions)",
            "cut the image into pieces",
        )
    return predictor.columns(image, 0, shape)


def block_results(
    predictor: Predictor, image: Image, predictions: Predicted, *, raw: bool = False
) -> Iterator[BlockResult]:
    """Post-process blocks.

    Args:
        predictor: the model.
        image: what was predicted from.
        predictions: of blocks.
        raw: the network's output is wanted, too.
    """
    post = predictor.postprocessing(image)
    for block, predicted in predictions:
        output = predicted[(slice(None), *block.inner)] if raw else None
        if post.labels:
            labels, scores = post.with_scores(predicted)
            yield BlockResult(block, labels, scores, output)
        else:
            found = as_target(post(predicted), predictor.bundle)
            core = (*(slice(None) for _ in range(found.ndim - len(block.inner))), *block.inner)
            yield BlockResult(block, found[core], None, output)


class Assembly:
    """Makes one result of those of blocks. Its files are completed by `finish`; without it nothing is left behind.

    Args:
        predictor: the model that predicted.
        image: what it was predicted from.
        wanted: what is to come out.
    """

    def __init__(self, predictor: Predictor, image: Image, wanted: Wanted) -> None:
        self._predictor, self._image, self._wanted = predictor, image, wanted
        self._shape = image.channels_first(predictor.spatial_dims).shape[1:]
        self._merger: LabelMerger | None = None
        self._result: RegionWriter | None = None
        self._raw: RegionWriter | None = None
        self._files = ExitStack()

    def __enter__(self) -> Assembly:
        self._files.__enter__()
        if self._predictor.postprocessing(self._image).labels:
            folder = tempfile.TemporaryDirectory(prefix=".labels-", dir=self._wanted.scratch)
            self._merger = LabelMerger(Path(self._files.enter_context(folder)))
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def add(self, result: BlockResult) -> None:
        """Take a block; in which order they come does not matter."""
        start = result.block.start
        if self._wanted.raw and result.raw is not None:
            if self._raw is None:
                empty = self._empty(result.raw)
                self._raw = self._start(self._wanted.raw, raw_image(self._predictor, empty, self._image))
            self._raw.write_region((0, *start), result.raw)
        if self._merger:
            self._merger.add(result.block, result.found, result.scores, result.path)
            return
        if self._result is None:
            like = self._predictor.as_image(self._empty(result.found), self._image)
            self._result = self._start(self._wanted.result, like)
        self._result.write_region((*(0,) * (result.found.ndim - len(start)), *start), result.found)

    def finish(self) -> list[dict[str, Any]] | None:
        """Write what had to wait for all blocks; returns the table of objects, where there is one."""
        if self._merger is None:
            return None
        scores = self._merger.finish()
        empty = np.broadcast_to(np.zeros((), label_type(self._merger.count)), self._shape)
        like = self._predictor.as_image(empty, self._image)
        table = ObjectTable(like.axes, self._merger.count) if self._wanted.objects else None
        result = self._start(self._wanted.result, like)
        for block, labels in self._merger.cores():
            result.write_region(block.start, labels)
            if table:
                table.add(labels, block.start)
        return table.rows(pixel_size_of(self._predictor, self._image), scores) if table else None

    def _start(self, create: Create, like: Image) -> RegionWriter:
        return self._files.enter_context(started(create, like))

    def _empty(self, part: NumpyArray) -> NumpyArray:
        """Of the channels and type of a part and the size of the image, without memory for its pixels."""
        channels = part.shape[: part.ndim - len(self._shape)]
        return np.broadcast_to(np.zeros((), part.dtype), (*channels, *self._shape))


def pixel_size_of(predictor: Predictor, image: Image) -> dict[str, float]:
    """Micrometre per axis: of the image where it states them, else of the training data."""
    return {**predictor.bundle.manifest.pixel_size, **image.pixel_size}


def raw_image(predictor: Predictor, raw: NumpyArray, image: Image) -> Image:
    """The network's output with its axes and, where the model names them in `output_names`, names of channels."""
    plain = predictor.as_image(raw, image)
    names = tuple(getattr(predictor.model, "output_names", ()))
    return Image(plain.data, plain.axes, plain.pixel_size, names if len(names) == len(raw) else ())


@contextmanager
def started(create: Create, like: Image) -> Iterator[RegionWriter]:
    """A file that is written while the next pieces are computed, and completed when all went well.

    Otherwise it leaves nothing behind.
    """
    writer = create(like, like.shape, like.dtype)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="write-results") as pool:
            behind = _WriteBehind(writer, pool)
            yield behind
            behind.wait()
    except BaseException:
        writer.abort()
        raise
    writer.close()


class _WriteBehind:
    """Hands regions to a writer in a thread; one waits at most, so memory holds no more of them."""

    def __init__(self, writer: RegionWriter, pool: ThreadPoolExecutor) -> None:
        self._writer, self._pool = writer, pool
        self._last: Future[None] | None = None

    def write_region(self, start: tuple[int, ...], data: NumpyArray) -> None:
        """Return at once if the region before this one is written."""
        self.wait()
        self._last = self._pool.submit(self._writer.write_region, start, data)

    def wait(self) -> None:
        """Until all is written; raises what went wrong there."""
        if self._last is not None:
            self._last.result()

    def close(self) -> None:
        """Left to the one who started the file."""

    def abort(self) -> None:
        """The same."""
