"""`Predictor`: a trained model applied window by window.

A small image is read at once. A large one is swept: read, predicted and handed on piece by piece, so that windows and
blocks, not the image, set the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from im2im_core.blocks import BLOCK, Block, blocks_of_pieces, columns, cut_blocks, span
from im2im_core.build import Postprocessing, Step, build_postprocessing, build_steps
from im2im_core.bundle import Bundle, load_model
from im2im_core.errors import DataError
from im2im_core.execution import Engine, Execution, Forward
from im2im_core.extents import Region
from im2im_core.image import Image, to_pixel_type
from im2im_core.regions import fit_steps, prepared
from im2im_core.windows import WindowOptions, gathered, held_bytes, sweep, window_starts

NumpyArray = np.ndarray[Any, Any]
# Images of more pixels are predicted piece by piece.
WHOLE_PIXELS = 4096 * 4096
IMAGE_TASKS = ("restoration", "translation", "generation")


class Predictor:
    """Applies a bundle to images.

    Args:
        bundle: an opened bundle.
        device: "auto", or a torch device such as "cpu", "cuda:1", "mps".
        window, overlap, batch: instead of those that the bundle states.
        block: pixels of a block, [Z], Y, X; larger images are predicted block by block. None: as suits most.
        execution: device, precision and compilation; then `device` is not looked at.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        window: tuple[int, ...] | None = None,
        overlap: float | None = None,
        batch: int = 4,
        block: tuple[int, ...] | None = None,
        execution: Execution | None = None,
    ) -> None:
        self.bundle = bundle
        self.block = block
        self.engine = Engine(execution or Execution(device=device))
        self.model = self.engine.place(load_model(bundle))
        self.options = WindowOptions(
            window=window or bundle.manifest.window,
            overlap=bundle.manifest.overlap if overlap is None else overlap,
            batch=batch,
        )
        self._patch = bundle.config.patch_size(self.spatial_dims) or (1,) * self.spatial_dims
        self._steps = build_steps(bundle.config.preprocessing, self.spatial_dims)
        self._last: tuple[Image, Image, list[Step]] | None = None

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return self.bundle.manifest.spatial_dims

    def predict(self, image: Image, progress: Callable[[float], None] | None = None) -> Image:
        """From an image to the result: labels, a class map or an image, with the axes of the spatial image.

        Raises:
            DataError: channels or dimensions do not fit the model, or the image holds NaN.
        """
        return self.finish(self.raw(image, progress), image)

    def finish(self, raw: NumpyArray, image: Image) -> Image:
        """Post-processing: from the blended output (K, [Z], Y, X) to the result."""
        return self.as_image(as_target(self.postprocessing(image)(raw), self.bundle), image)

    def postprocessing(self, image: Image) -> Postprocessing:
        """What turns the network's output into the result, for an image with its pixel size."""
        pixel_size = {**self.bundle.manifest.pixel_size, **image.pixel_size}
        return build_postprocessing(self.bundle.config, self.spatial_dims, pixel_size)

    def as_image(self, result: NumpyArray, image: Image) -> Image:
        """Give a result, ([K], [Z], Y, X), the axes and the pixel size of the image that it was made from."""
        spatial = "ZYX"[-self.spatial_dims :]
        return image.with_data(result, spatial if result.ndim == self.spatial_dims else "C" + spatial)

    def is_large(self, image: Image) -> bool:
        """Whether it is predicted piece by piece."""
        shape = image.channels_first(self.spatial_dims).shape[1:]
        if self.block is not None:
            return any(length > most for length, most in zip(shape, self.block, strict=True))
        return math.prod(shape) > WHOLE_PIXELS

    def raw(
        self,
        image: Image,
        progress: Callable[[float], None] | None = None,
        *,
        forward: Forward | None = None,
    ) -> NumpyArray:
        """The blended output of the network, (K, [Z], Y, X) float32, before post-processing.

        Args:
            image: what to predict from.
            progress: told the share of the image done.
            forward: what is applied to a batch of windows; None: the model.
        """
        source, steps = self._prepared(image)
        forward = forward or self._network
        shape = source.shape[1:]
        if math.prod(shape) <= WHOLE_PIXELS:
            output = self._infer(prepared(source, tuple(slice(0, n) for n in shape), steps), forward)
            if progress:
                progress(1.0)
            return output
        output = np.empty((self.out_channels, *shape), np.float32)
        for region, piece in self._pieces(source, steps, tuple(slice(0, n) for n in shape), forward):
            output[(slice(None), *region)] = piece
            if progress:
                progress(region[0].stop / shape[0])
        return output

    @cached_property
    def _network(self) -> Forward:
        return self.engine.compiled(self.model)

    @property
    def out_channels(self) -> int:
        """Channels of the network's output."""
        return int(np.load(self.bundle.path / "sample_output.npy", mmap_mode="r", allow_pickle=False).shape[0])

    def columns(self, image: Image, halo: int, block: tuple[int, ...] | None = None) -> list[list[Block]]:
        """The image cut into blocks, in groups of those that are swept together.

        Args:
            image: what to predict from.
            halo: pixels around each block.
            block: pixels of a block, [Z], Y, X; None: the predictor's, or as suits most.

        Raises:
            DataError: channels or dimensions do not fit the model.
        """
        source, _ = self._kept(image)
        size = block or self.block or BLOCK[self.spatial_dims]
        blocks = cut_blocks(source.shape[1:], size, halo)
        # Blocks that are not complete yet; with the halo, pixels are held by several of them.
        waiting = 4 * self.out_channels * (size[0] + 2 * halo + self.options.window[0])
        shared = math.prod(1 + 2 * halo / n for n in size[1:])
        swept = self._swept(source)
        return columns(
            blocks,
            lambda sizes: waiting * shared * math.prod(sizes) + swept(sizes),
            overhang=self.options.window[1:],
        )

    def stripes(self, image: Image) -> list[Region]:
        """The image cut into parts as wide as memory allows, for what needs no blocks: see `pieces`."""
        source, _ = self._kept(image)
        size = self.block or BLOCK[self.spatial_dims]
        groups = columns(cut_blocks(source.shape[1:], size, 0), self._swept(source), overhang=self.options.window[1:])
        axes = range(self.spatial_dims)
        return [tuple(span(group, lambda each: each.core, axis) for axis in axes) for group in groups]

    def _swept(self, source: Image) -> Callable[[list[int]], int]:
        """Bytes that a sweep holds, by what is swept along the axes but the first."""
        window = tuple(min(w, n) for w, n in zip(self.options.window, source.shape[1:], strict=True))
        rows = window_starts(source.shape[1], window[0], self.options.overlap)
        return partial(held_bytes, self.out_channels, rows, window)

    def blocks(self, image: Image, group: Sequence[Block]) -> Iterator[tuple[Block, NumpyArray]]:
        """The blended output of the network block by block; each window is computed once.

        Only windows that reach over the group's border are computed again for its neighbour.

        Args:
            image: what to predict from.
            group: some of `columns`, or of a group of them.

        Yields:
            A block, and the output (K, [Z], Y, X) of the block and its halo.
        """
        source, steps = self._kept(image)
        wanted = tuple(span(group, lambda each: each.read, axis) for axis in range(self.spatial_dims))
        yield from blocks_of_pieces(self._pieces(source, steps, wanted, self._network), group)

    def pieces(self, image: Image, stripe: Region) -> Iterator[tuple[Block, NumpyArray]]:
        """The blended output of the network as it becomes final, in pieces without a halo, which nothing holds back."""
        source, steps = self._kept(image)
        for region, piece in gathered(self._pieces(source, steps, stripe, self._network)):
            yield Block(tuple(part.start for part in region), region, region), piece

    def _prepared(self, image: Image) -> tuple[Image, list[Step]]:
        """Channels first, and preprocessing with the image's statistics."""
        source = image.channels_first(self.spatial_dims)
        self._check(source)
        return source, fit_steps(self._steps, source)

    def _kept(self, image: Image) -> tuple[Image, list[Step]]:
        """The same, for an image of which group after group is asked for: its statistics are taken once."""
        if self._last is None or self._last[0] is not image:
            self._last = (image, *self._prepared(image))
        return self._last[1:]

    def _pieces(
        self, source: Image, steps: Sequence[Step], wanted: Region, forward: Forward
    ) -> Iterator[tuple[Region, NumpyArray]]:
        """Regions and output (K, ...) of a part of the image."""
        shape = source.shape[1:]
        before, after = self._continuation(shape)
        padded = tuple(b + n + a for b, n, a in zip(before, shape, after, strict=True))
        options = WindowOptions(
            window=tuple(min(w, n) for w, n in zip(self.options.window, padded, strict=True)),
            overlap=self.options.overlap,
            batch=self.options.batch,
        )

        def read(region: Region) -> NumpyArray:
            # Axes that are continued are shorter than a patch: they are read whole.
            whole = [bool(b or a) for b, a in zip(before, after, strict=True)]
            inside = tuple(slice(0, n) if w else part for part, n, w in zip(region, shape, whole, strict=True))
            data = prepared(source, inside, steps)
            if any(whole):
                data = np.pad(data, [(0, 0), *zip(before, after, strict=True)], mode="symmetric")
            return data[(slice(None), *(p if w else slice(None) for p, w in zip(region, whole, strict=True)))]

        moved = tuple(slice(p.start + b, p.stop + b) for p, b in zip(wanted, before, strict=True))
        for region, piece in sweep(partial(self.engine.on_arrays, forward), read, padded, options, moved):
            yield tuple(slice(p.start - b, p.stop - b) for p, b in zip(region, before, strict=True)), piece

    def _continuation(self, size: tuple[int, ...]) -> tuple[list[int], list[int]]:
        """Pixels to add before and after: what is smaller than a patch is continued by reflection, as in training."""
        added = [max(0, least - length) for least, length in zip(self._patch, size, strict=True)]
        return [width // 2 for width in added], [width - width // 2 for width in added]

    def _check(self, source: Image) -> None:
        expected = self.bundle.manifest.in_channels
        if source.shape[0] != expected:
            raise DataError(
                f"the image has {source.shape[0]} channel(s), the model was trained on {expected}",
                "choose with --channel those that the model was trained on",
            )
        if 0 in source.shape:
            raise DataError(f"the image is empty: shape {source.shape}")

    def _infer(self, data: NumpyArray, forward: Forward) -> NumpyArray:
        import torch
        from monai.inferers import sliding_window_inference

        size = data.shape[1:]
        before, after = self._continuation(size)
        data = np.pad(data, [(0, 0), *zip(before, after, strict=True)], mode="symmetric")
        window = tuple(min(w, n) for w, n in zip(self.options.window, data.shape[1:], strict=True))
        tensor = torch.from_numpy(np.ascontiguousarray(data))[None].to(self.engine.device)
        run = partial(self.engine.run, forward)
        if data.shape[1:] == window:
            predicted: Any = run(tensor)
        else:
            with torch.inference_mode():
                predicted = sliding_window_inference(
                    tensor, window, self.options.batch, run, overlap=self.options.overlap, mode="gaussian"
                )
        inside = tuple(slice(b, b + length) for b, length in zip(before, size, strict=True))
        result: NumpyArray = predicted[0].cpu().numpy()[(slice(None), *inside)]
        return result


def as_target(result: NumpyArray, bundle: Bundle) -> NumpyArray:
    """An image in the pixel type of the targets: rounded and cut off at the limits of whole numbers.

    Labels and classes stay as they are, and so does what was trained on targets that preprocessing had changed.
    """
    if bundle.manifest.task not in IMAGE_TASKS or result.dtype.kind != "f" or not bundle.manifest.target_dtype:
        return result
    # Of fractions float32 is what networks compute in, whatever the targets are stored in.
    if np.dtype(bundle.manifest.target_dtype).kind not in "iu" or bundle.config.changes_target:
        return result
    return to_pixel_type(result, bundle.manifest.target_dtype)
