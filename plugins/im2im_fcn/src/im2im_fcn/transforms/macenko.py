"""Stain normalisation and separation of bright-field RGB images (Macenko et al. 2009, ISBI)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2im_core import DataError, Image, Sample
from im2im_fcn.transforms.arrays import NumpyArray, as_given, channels_first, finite
from im2im_fcn.transforms.config import MacenkoConfig, StainOutput

# Optical densities of haematoxylin and eosin in red, green and blue, and their usual strongest concentrations.
REFERENCE = np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]])
STRONGEST = np.array([1.9705, 1.0308])
FEWEST_PIXELS = 10
MOST_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class Restain:
    """Stains of one image, to be exchanged for those of the reference.

    Attributes:
        stains: (3, 2) optical density per unit of haematoxylin and eosin.
        strongest: 99th percentile of the concentration of each in the image.
        light: grey value of transmitted light.
        output: which stains the result shows.
    """

    stains: NumpyArray
    strongest: NumpyArray
    light: float
    output: StainOutput

    def __call__(self, sample: Sample) -> Sample:
        """A new sample with the image (3, [Z,] Y, X), 0 to 255, restained; float32."""
        image = np.asarray(sample["image"])
        density = optical_density(image.reshape(3, -1).astype(np.float32), self.light)
        amounts = concentrations(density, self.stains) * (STRONGEST / self.strongest).astype(np.float32)[:, None]
        shown = {"normalised": [0, 1], "haematoxylin": [0], "eosin": [1]}[self.output]
        picture = self.light * np.exp(-REFERENCE[:, shown].astype(np.float32) @ amounts[shown])
        result = picture.clip(0, 255).astype(np.float32)
        return {**sample, "image": as_given(result.reshape(-1, *image.shape[1:]), sample["image"])}


@dataclass(frozen=True, slots=True)
class Macenko:
    """Finds the two stains of an image as the extreme directions of its optical densities, and normalises them.

    Grey values stay fractional, and those above 255 become 255 (the reference: whole numbers, and 254).

    Attributes:
        config: settings.
        spatial_dims: 2 or 3.
    """

    config: MacenkoConfig
    spatial_dims: int

    def __call__(self, sample: Sample) -> Sample:
        """A new sample with the image restained by its own stains; without an image the sample as it is.

        Raises:
            DataError: as of `fit`.
        """
        if "image" not in sample:
            return sample
        return self.fit(np.asarray(sample["image"]))(sample)

    def fit(self, image: Image | NumpyArray) -> Restain:
        """The step with the stains of this image; of more than four million pixels a regular sub-sample is looked at.

        Raises:
            DataError: not three channels, values below 0, NaN or infinite values, or (nearly) no stained pixels.
        """
        data = channels_first(image, self.spatial_dims)
        if data.shape[0] != 3:
            raise DataError(f"macenko needs RGB, the image has '{data.shape[0]}' channel(s)", "select three channels")
        step = max(1, int(np.ceil(np.sqrt(float(np.prod([float(n) for n in data.shape[1:]])) / MOST_PIXELS))))
        pixels = finite(np.asarray(data[(..., slice(None, None, step), slice(None, None, step))])).reshape(3, -1)
        if pixels.min() < 0:
            raise DataError(
                f"macenko needs grey values from 0, the image holds '{pixels.min():g}'",
                "put macenko before other normalisation",
            )
        density = optical_density(pixels.astype(np.float64), self.config.light)
        stains = stain_directions(density, self.config.alpha, self.config.beta)
        strongest = np.percentile(concentrations(density, stains), 99, axis=1)
        if (strongest <= 0).any():
            raise DataError("only one stain was found in the image", "leave out macenko, or take the image out")
        return Restain(stains, strongest, self.config.light, self.config.output)


def optical_density(pixels: NumpyArray, light: float) -> NumpyArray:
    """-ln((I + 1) / light) of grey values (3, N), in float64 unless they are float32: slides are large."""
    density: NumpyArray = -np.log((pixels + 1.0) / light)
    return density


def stain_directions(density: NumpyArray, alpha: float, beta: float) -> NumpyArray:
    """(3, 2) haematoxylin (the one that takes more red) and eosin, from optical densities (3, N).

    The sign of an eigenvector is arbitrary. Here the first principal direction points to higher density, so that angles
    in the plane lie around 90 degrees and cannot wrap (the reference left the sign to the linear algebra library).

    Raises:
        DataError: (nearly) no pixel is stained.
    """
    stained = density[:, ~(density < beta).any(axis=0)]
    if stained.shape[1] < FEWEST_PIXELS:
        raise DataError(
            f"only '{stained.shape[1]}' pixels are stained (optical density above beta '{beta}')",
            "lower beta, correct light, or take the image out of the data set",
        )
    plane = np.linalg.eigh(np.cov(stained))[1][:, 1:]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    across, along = plane.T @ stained
    angles = np.percentile(np.arctan2(along, across), [alpha, 100 - alpha])
    extremes: NumpyArray = plane @ np.stack([np.cos(angles), np.sin(angles)])
    return extremes if extremes[0, 0] > extremes[0, 1] else extremes[:, ::-1]


def concentrations(density: NumpyArray, stains: NumpyArray) -> NumpyArray:
    """(2, N) amounts of both stains by least squares."""
    amounts: NumpyArray = np.linalg.pinv(stains).astype(density.dtype) @ density
    return amounts
