"""`Predictor`: a trained model applied window by window.

The image is read block by block. A block is a whole number of window strides, and is read with a margin around it, so
the windows of all blocks lie on one common grid, and the block, not the image, sets the memory for the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from im2im_core.build import Step, build_postprocessing, build_steps
from im2im_core.bundle import Bundle, load_model
from im2im_core.errors import ConfigError, DataError, Im2imError
from im2im_core.image import Image, to_pixel_type

if TYPE_CHECKING:
    import torch

NumpyArray = np.ndarray[Any, Any]
BLOCK_PIXELS = 2048 * 2048
FIT_PIXELS = 2048 * 2048
IMAGE_TASKS = ("restoration", "translation", "generation")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How an image is cut for the network.

    Attributes:
        window: pixels per spatial axis, [Z], Y, X; smaller where the image is smaller.
        overlap: share by which neighbouring windows overlap, 0 to below 1.
        batch: windows per forward pass.
    """

    window: tuple[int, ...]
    overlap: float = 0.25
    batch: int = 4


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the image: where it is read, and which part of that is kept. Spatial axes only."""

    read: tuple[slice, ...]
    keep: tuple[slice, ...]
    write: tuple[slice, ...]


class Predictor:
    """Applies a bundle to images.

    Args:
        bundle: an opened bundle.
        device: "auto", or a torch device such as "cpu", "cuda:1", "mps".
        window, overlap, batch: instead of those that the bundle states.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        window: tuple[int, ...] | None = None,
        overlap: float | None = None,
        batch: int = 4,
    ) -> None:
        self.bundle = bundle
        self.device = _device(device)
        self.model = load_model(bundle).to(self.device)
        self.options = WindowOptions(
            window=window or bundle.manifest.window,
            overlap=bundle.manifest.overlap if overlap is None else overlap,
            batch=batch,
        )
        self._patch = bundle.config.patch_size(self.spatial_dims) or (1,) * self.spatial_dims
        self._steps = build_steps(bundle.config.preprocessing, self.spatial_dims)

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
        pixel_size = {**self.bundle.manifest.pixel_size, **image.pixel_size}
        postprocess = build_postprocessing(self.bundle.config, self.spatial_dims, pixel_size)
        return self.as_image(as_target(postprocess(raw), self.bundle), image)

    def as_image(self, result: NumpyArray, image: Image) -> Image:
        """Give a result, ([K], [Z], Y, X), the axes and the pixel size of the image that it was made from."""
        spatial = "ZYX"[-self.spatial_dims :]
        return image.with_data(result, spatial if result.ndim == self.spatial_dims else "C" + spatial)

    def raw(
        self,
        image: Image,
        progress: Callable[[float], None] | None = None,
        *,
        forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> NumpyArray:
        """The blended output of the network, (K, [Z], Y, X) float32, before post-processing.

        Args:
            image: what to predict from.
            progress: told the share of blocks done.
            forward: what is applied to a batch of windows; None: the model.
        """
        source = image.channels_first(self.spatial_dims)
        self._check(source)
        steps = fit_steps(self._steps, source)
        window = tuple(min(w, n) for w, n in zip(self.options.window, source.shape[1:], strict=True))
        blocks = list(split_blocks(source.shape[1:], window, self.options.overlap))
        output: NumpyArray | None = None
        for index, block in enumerate(blocks):
            data = _read(source, block)
            if not np.isfinite(data).all():
                raise DataError("the image holds NaN or infinite pixels", "replace them before prediction")
            sample: dict[str, Any] = {"image": data}
            for step in steps:
                sample = step(sample)
            predicted = self._infer(np.asarray(sample["image"], np.float32), forward or self.model)
            if output is None:
                output = np.empty((predicted.shape[0], *source.shape[1:]), np.float32)
            output[(slice(None), *block.write)] = predicted[(slice(None), *block.keep)]
            if progress:
                progress((index + 1) / len(blocks))
        assert output is not None
        return output

    def _check(self, source: Image) -> None:
        expected = self.bundle.manifest.in_channels
        if source.shape[0] != expected:
            raise DataError(
                f"the image has {source.shape[0]} channel(s), the model was trained on {expected}",
                "select the channels that the model was trained on",
            )
        if 0 in source.shape:
            raise DataError(f"the image is empty: shape {source.shape}")

    def _infer(self, data: NumpyArray, forward: Callable[[torch.Tensor], torch.Tensor]) -> NumpyArray:
        import torch
        from monai.inferers import sliding_window_inference

        size = data.shape[1:]
        # What is smaller than a training patch was continued by reflection in training, so it is here.
        added = [max(0, least - length) for least, length in zip(self._patch, size, strict=True)]
        before = [width // 2 for width in added]
        data = np.pad(data, [(0, 0), *((b, w - b) for b, w in zip(before, added, strict=True))], mode="symmetric")
        window = tuple(min(w, n) for w, n in zip(self.options.window, data.shape[1:], strict=True))
        tensor = torch.from_numpy(np.ascontiguousarray(data))[None].to(self.device)
        with torch.inference_mode():
            if data.shape[1:] == window:
                predicted: Any = forward(tensor)
            else:
                predicted = sliding_window_inference(
                    tensor, window, self.options.batch, forward, overlap=self.options.overlap, mode="gaussian"
                )
        inside = tuple(slice(b, b + length) for b, length in zip(before, size, strict=True))
        result: NumpyArray = predicted[0].float().cpu().numpy()[(slice(None), *inside)]
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


def _read(source: Image, block: Block) -> NumpyArray:
    """Decode a block. Only now does a lazy reader find out that its file is damaged further in."""
    try:
        return np.asarray(source.data[(slice(None), *block.read)]).astype(np.float32)
    except Im2imError:
        raise
    except Exception as error:
        raise DataError(
            f"the pixels cannot be read: {type(error).__name__}: {error}", "check that the file is complete"
        ) from error


def fit_steps(steps: Sequence[Step], source: Image) -> list[Step]:
    """Preprocessing with the statistics of the whole image, so that every window is treated alike.

    A later step sees what the earlier ones make of the image; for that some pixels of a large image have to do.

    Args:
        steps: preprocessing in its order; a step with statistics has `fit(image) -> step`.
        source: the image, channels first.
    """
    fitted: list[Step] = []
    for step in steps:
        if hasattr(step, "fit"):
            step = step.fit(_some_pixels(source, fitted) if fitted else source)
        fitted.append(step)
    return fitted


def _some_pixels(source: Image, steps: Sequence[Step]) -> Image:
    """At most about FIT_PIXELS evenly spaced pixels of the image after some steps."""
    stride = max(1, math.ceil((math.prod(source.shape[1:]) / FIT_PIXELS) ** (1 / (len(source.shape) - 1))))
    thinned = (slice(None), *[slice(None, None, min(stride, n)) for n in source.shape[1:]])
    sample: dict[str, Any] = {"image": np.asarray(source.data[thinned]).astype(np.float32)}
    for step in steps:
        sample = step(sample)
    return source.with_data(np.asarray(sample["image"]))


def split_blocks(shape: tuple[int, ...], window: tuple[int, ...], overlap: float) -> Iterator[Block]:
    """Cut an image into blocks whose windows lie on one grid.

    The margin is a whole number of strides and at least a window, so a kept pixel sees the same windows as it would in
    the whole image, except where the last window of an axis is moved inwards at the image's own border.
    """
    strides = [max(1, int(w * (1 - overlap))) for w in window]
    side = BLOCK_PIXELS ** (1 / len(shape))
    per_axis = []
    for length, size, stride in zip(shape, window, strides, strict=True):
        core = max(1, round(side / stride)) * stride
        margin = -(-size // stride) * stride
        if length <= core + margin:
            per_axis.append([(slice(0, length), slice(0, length), slice(0, length))])
            continue
        pieces = []
        for start in range(0, length, core):
            stop = min(start + core, length)
            first, last = max(0, start - margin), min(length, stop + margin)
            pieces.append((slice(first, last), slice(start - first, stop - first), slice(start, stop)))
        per_axis.append(pieces)
    for combination in product(*per_axis):
        yield Block(*(tuple(part[i] for part in combination) for i in range(3)))


def _device(name: str) -> torch.device:
    import torch

    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"device '{name}' cannot be used: {reason}", "use --device auto or cpu") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
