"""Pictures of cell nuclei that never were: what a fluorescence microscope would show, and the labels. Loads scipy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from im2im_core.image import Image
from im2im_core.interfaces import NumpyArray

PIXEL_SIZE = 0.5
"""Micrometre: nuclei of 10 to 15 micrometre are then 20 to 30 pixels wide."""
_OFFSET = 100  # camera counts in the dark
_GAIN = 8.0  # camera counts per photon
_READ_NOISE = 1.5  # photons
_SMALLEST = 40  # pixels of a nucleus that are visible


def make_nuclei(
    rng: np.random.Generator, shape: tuple[int, int] = (256, 256), *, density: float = 4.5
) -> tuple[NumpyArray, NumpyArray]:
    """One field of view.

    Nuclei are deformed ellipses of varying size and brightness with chromatin texture, single and in touching groups.
    Then come haze from out of focus, uneven illumination, the blur of the optics, photon noise and read noise.

    Args:
        rng: where all randomness comes from; equal generators give equal pictures.
        shape: pixels (Y, X).
        density: nuclei per 10,000 pixels.

    Returns:
        uint16 intensities (Y, X), and uint16 labels (Y, X) with 0 = background.
    """
    labels, glow = _scatter(rng, shape, rng.poisson(density * shape[0] * shape[1] / 1e4))
    unfocused, _ = _scatter(rng, shape, rng.poisson(density * shape[0] * shape[1] / 8e4))
    haze = 0.35 * ndimage.gaussian_filter(glow, 14) + 0.3 * ndimage.gaussian_filter((unfocused > 0) * 0.5, 6)
    light = ndimage.gaussian_filter(glow, rng.uniform(0.9, 1.5)) + haze + rng.uniform(0.06, 0.14)
    photons = light * _illumination(rng, shape) * rng.uniform(60, 140)
    counts = rng.poisson(photons) + rng.normal(0, _READ_NOISE, shape)
    return np.clip(_OFFSET + _GAIN * counts, 0, 65535).astype(np.uint16), labels


def write_demo(
    folder: Path, n_train: int, n_test: int, seed: int, write: Callable[[Path, Image], None], size: int = 256
) -> tuple[Path, Path]:
    """Write pairs `X_IM.tiff`, `X_GT.tiff` into the folders `train` and `test`.

    Args:
        folder: where to put them.
        n_train: pairs to train with.
        n_test: pairs that the training never sees.
        seed: equal seeds give equal pictures, however many there are.
        write: writes one image.
        size: pixels along each side.

    Returns:
        The folders of both parts.
    """
    for part, (name, number) in enumerate((("train", n_train), ("test", n_test))):
        for index in range(number):
            image, labels = make_nuclei(np.random.default_rng((seed, part, index)), (size, size))
            for role, pixels in (("IM", image), ("GT", labels)):
                path = folder / name / f"nuclei_{index:03d}_{role}.tiff"
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path, Image(pixels, "YX", {"Y": PIXEL_SIZE, "X": PIXEL_SIZE}))
    return folder / "train", folder / "test"


def _scatter(rng: np.random.Generator, shape: tuple[int, int], number: int) -> tuple[NumpyArray, NumpyArray]:
    """Labels, and the light that each point of the sample gives off (1: a typical nucleus)."""
    labels = np.zeros(shape, dtype=np.uint16)
    glow = np.zeros(shape)
    placed: list[tuple[NumpyArray, float]] = []
    typical = rng.uniform(9.5, 13)
    for _ in range(number):
        radius = float(np.clip(rng.normal(typical, 1.8), 6, 18))
        centre = _position(rng, shape, placed, radius)
        box, thickness = _nucleus(rng, shape, centre, radius)
        size = np.count_nonzero(thickness)
        mine = (thickness > 0) & (labels[box] == 0)
        if np.count_nonzero(mine) < max(_SMALLEST, 0.88 * size):
            continue  # mostly outside the picture, or on top of another
        placed.append((centre, radius))
        labels[box][mine] = len(placed)
        glow[box] += thickness * _brightness(rng)
    return _whole(labels), glow * _chromatin(rng, shape)


def _position(
    rng: np.random.Generator, shape: tuple[int, int], placed: list[tuple[NumpyArray, float]], radius: float
) -> NumpyArray:
    """Anywhere, or beside a nucleus that is there already."""
    if placed and rng.random() < 0.55:
        centre, other = placed[rng.integers(len(placed))]
        angle = rng.uniform(0, 2 * np.pi)
        return centre + (radius + other) * rng.uniform(0.88, 1.05) * np.array([np.sin(angle), np.cos(angle)])
    return rng.uniform(0, shape)


def _nucleus(
    rng: np.random.Generator, shape: tuple[int, int], centre: NumpyArray, radius: float
) -> tuple[tuple[slice, slice], NumpyArray]:
    """A box of the picture, and in it the thickness of a deformed ellipsoid: 1 in the middle, 0 outside."""
    low = np.clip(np.floor(centre - 2 * radius).astype(int), 0, shape)
    high = np.clip(np.ceil(centre + 2 * radius).astype(int), 0, shape)
    y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
    tilt, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1, 1.6))
    along = ((y - centre[0]) * np.sin(tilt) + (x - centre[1]) * np.cos(tilt)) / stretch
    across = ((x - centre[1]) * np.sin(tilt) - (y - centre[0]) * np.cos(tilt)) * stretch
    angle = np.arctan2(across, along)
    outline = np.ones(angle.shape)
    for wave in (2, 3, 4, 5):
        outline += rng.normal(0, 0.11 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    distance = np.hypot(along, across) / (radius * outline)
    thickness: NumpyArray = np.clip(1 - distance**2, 0, None) ** 0.35
    return (slice(low[0], high[0]), slice(low[1], high[1])), thickness


def _brightness(rng: np.random.Generator) -> float:
    """Most nuclei are about equally bright; some are dim, a few very bright as in mitosis."""
    kind = rng.random()
    if kind < 0.25:
        return float(rng.uniform(0.19, 0.4))
    return float(rng.uniform(1.5, 2.2)) if kind > 0.94 else float(rng.lognormal(0, 0.25))


def _chromatin(rng: np.random.Generator, shape: tuple[int, int]) -> NumpyArray:
    """Multiplies the light: grains of one to two micrometre."""
    noise = rng.normal(size=shape)
    grains = ndimage.gaussian_filter(noise, 1.5) - ndimage.gaussian_filter(noise, 4)
    texture: NumpyArray = np.clip(1 + 0.22 * grains / grains.std(), 0.2, None)
    return texture


def _illumination(rng: np.random.Generator, shape: tuple[int, int]) -> NumpyArray:
    """Brightest somewhere near the middle, down to about 0.4 in a corner."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    centre = rng.uniform(0.2, 0.8, 2) * shape
    width = rng.uniform(0.55, 0.8) * max(shape)
    light: NumpyArray = 0.25 + 0.75 * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * width**2))
    return light


def _whole(labels: NumpyArray) -> NumpyArray:
    """Each nucleus one connected piece, numbered without gaps."""
    result = np.zeros_like(labels)
    number = 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        pieces, _ = ndimage.label(labels[box] == label)
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() >= _SMALLEST:
            number += 1
            result[box][pieces == sizes.argmax() + 1] = number
    return result
