"""Arrays to pictures: contrast, colours, outlines, PNG. Loads scipy and Pillow."""

from __future__ import annotations

import colorsys
import io

import numpy as np
from PIL import Image as PillowImage
from scipy import ndimage

from im2im_core.interfaces import NumpyArray

LONGEST_SIDE = 720
SMALLEST_SIDE = 400
GAMMA = 0.7  # lifts what is dim, or missed dim objects could not be seen to be missed
OUTLINE = 2  # pixels, drawn inside the object so that touching objects keep both outlines
CHANNEL_COLORS = ((1.0, 1.0, 1.0), (0.2, 1.0, 0.4), (1.0, 0.2, 0.9), (0.2, 0.7, 1.0))

Color = tuple[int, int, int]
Limits = list[tuple[float, float]]


def fit(array: NumpyArray, *, smooth: bool) -> NumpyArray:
    """Larger or smaller by a whole number, so that outlines are fine and files small."""
    longest = max(array.shape[-2:])
    step = -(-longest // LONGEST_SIDE)
    if step > 1 and smooth:
        filtered = ndimage.uniform_filter(array.astype(np.float32), (1,) * (array.ndim - 2) + (step, step))
        return np.asarray(filtered[..., step // 2 :: step, step // 2 :: step])
    if step > 1:
        return np.asarray(array[..., step // 2 :: step, step // 2 :: step])
    times = max(1, min(8, -(-SMALLEST_SIDE // longest)))
    return np.asarray(array.repeat(times, axis=-1).repeat(times, axis=-2))


def stretch(image: NumpyArray) -> Limits:
    """Darkest and brightest intensity to show, per channel."""
    limits = []
    for channel in image:
        values = channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel
        low, high = np.percentile(values, (0.5, 99.8)) if values.size else (0.0, 1.0)
        limits.append((float(low), float(high) if high > low else float(low) + 1.0))
    return limits


def composite(image: NumpyArray, limits: Limits) -> NumpyArray:
    """(C, Y, X) -> (Y, X, 3) uint8: gray, RGB as it is, or up to three further channels in colours of their own."""
    if len(image) == 3 and image.dtype == np.uint8:
        return np.moveaxis(image, 0, -1)
    colors = CHANNEL_COLORS[:1] if len(image) == 1 else CHANNEL_COLORS[1:]
    result = np.zeros((*image.shape[1:], 3))
    for channel, (low, high), color in zip(image, limits, colors, strict=False):
        level = np.clip((np.nan_to_num(channel.astype(np.float64)) - low) / (high - low), 0, 1) ** GAMMA
        result += level[..., None] * np.array(color)
    return (255 * np.clip(result, 0, 1)).astype(np.uint8)


def colored(ground: NumpyArray, labels: NumpyArray, colors: dict[int, Color]) -> NumpyArray:
    """Objects or classes outlined, and a little of the colour inside."""
    result = ground.astype(np.float64)
    ids = np.array([0, *sorted(colors)])
    table = np.array([(0, 0, 0), *(colors[label] for label in sorted(colors))], dtype=np.float64)
    painted = table[np.searchsorted(ids, labels)]
    inside = labels > 0
    result[inside] = 0.78 * result[inside] + 0.22 * painted[inside]
    edge = outline(labels)
    result[edge] = painted[edge]
    return result.astype(np.uint8)


def outline(labels: NumpyArray) -> NumpyArray:
    """Pixels of objects that are near another label, however many objects there are."""
    size = 2 * OUTLINE + 1
    near = ndimage.maximum_filter(labels, size) != ndimage.minimum_filter(labels, size)
    edge: NumpyArray = near & (labels > 0)
    return edge


def hue(number: int) -> Color:
    """Colours that are far apart for successive numbers (golden ratio)."""
    red, green, blue = colorsys.hls_to_rgb((number * 0.618034) % 1.0, 0.62, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def css(color: Color) -> str:
    """As a style sheet writes it."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def png(rgb: NumpyArray) -> bytes:
    """RGB as PNG with a palette, a third of the size at no visible loss; gray stays exact."""
    buffer = io.BytesIO()
    if (rgb[..., :1] == rgb).all():
        picture = PillowImage.fromarray(np.ascontiguousarray(rgb[..., 0]))
    else:
        picture = PillowImage.fromarray(np.ascontiguousarray(rgb)).quantize(256, dither=PillowImage.Dither.NONE)
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
