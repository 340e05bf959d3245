"""The classical methods that a trained model has to beat. Loads scipy and scikit-image: import it where it is used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from im2im_core.errors import DataError
from im2im_core.interfaces import NumpyArray

BASELINE_NAME = "Otsu + watershed"
Baseline = Callable[[NumpyArray], NumpyArray]


def otsu_watershed(
    image: NumpyArray,
    *,
    smoothing: float = 1.0,
    min_size: int = 20,
    min_distance: int = 7,
    distance_smoothing: float = 0.0,
) -> NumpyArray:
    """Bright objects on a dark background, touching ones split where they are narrow.

    The textbook recipe: Gaussian, threshold of Otsu (IEEE Transactions on Systems, Man and Cybernetics 9(1), 1979),
    distance transform, watershed from the peaks of the distance (Beucher and Meyer, 1993). `smoothing` and
    `min_distance` are the best of a small grid on training images of fluorescent nuclei. Smoothing the distance map as
    well (`distance_smoothing=1`) removes false peaks and makes the method stronger still on such images.

    Args:
        image: intensities (Y, X) or (Z, Y, X).
        smoothing: sigma of the Gaussian in pixels.
        min_size: connected foreground of fewer pixels is dropped.
        min_distance: pixels between peaks of the distance transform within one connected foreground.
        distance_smoothing: sigma of a Gaussian over the distance map in pixels; 0 leaves it as it is.

    Returns:
        int32 labels of the image's shape, 0 = background; all 0 for a constant image.

    Raises:
        DataError: the image has another number of axes, or values that are not finite.
    """
    if image.ndim not in (2, 3):
        raise DataError(f"the baseline needs an image (Y, X) or (Z, Y, X), not one of shape '{image.shape}'")
    smooth = image.astype(np.float64)
    if not np.isfinite(smooth).all():
        raise DataError("the image has pixels that are NaN or infinite")
    if np.ptp(smooth) == 0:
        return np.zeros(image.shape, dtype=np.int32)
    smooth = ndimage.gaussian_filter(smooth, smoothing)
    regions = _foreground(smooth > threshold_otsu(smooth), min_size)
    distance = ndimage.distance_transform_edt(regions > 0)
    if distance_smoothing > 0:
        distance = ndimage.gaussian_filter(distance, distance_smoothing)
    peaks = peak_local_max(distance, min_distance=min_distance, labels=regions, exclude_border=False)
    markers = np.zeros(image.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels: NumpyArray = watershed(-distance, markers, mask=regions > 0).astype(np.int32)
    return labels


def _foreground(mask: NumpyArray, min_size: int) -> NumpyArray:
    """Connected parts of the mask without holes and specks, numbered."""
    regions, _ = ndimage.label(ndimage.binary_fill_holes(mask))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    kept = sizes >= min_size
    numbers = np.cumsum(kept) * kept
    numbered: NumpyArray = numbers[regions]
    return numbered


def otsu_mask(image: NumpyArray, *, bright: bool = True) -> NumpyArray:
    """What is brighter (or darker) than the threshold of Otsu in the slightly blurred image, uint8 0 and 1."""
    smooth = ndimage.gaussian_filter(image.astype(np.float64), 1.0)
    if np.ptp(smooth) == 0:
        return np.zeros(image.shape, np.uint8)
    above = smooth > threshold_otsu(smooth)
    mask: NumpyArray = (above if bright else ~above).astype(np.uint8)
    return mask


def blur(image: NumpyArray, *, sigma: float) -> NumpyArray:
    """The image itself, blurred by a Gaussian of `sigma` pixels; 0: as it is."""
    blurred: NumpyArray = ndimage.gaussian_filter(image.astype(np.float32), sigma)
    return blurred


def inverted(image: NumpyArray, *, sigma: float) -> NumpyArray:
    """As `blur`, bright and dark exchanged within the image's own range: a stain absorbs where fluorescence shines."""
    blurred = blur(image, sigma=sigma)
    exchanged: NumpyArray = blurred.max() + blurred.min() - blurred
    return exchanged


CLASS_BASELINES: dict[str, Baseline] = {
    "Otsu, bright": otsu_mask,
    "Otsu, dark": lambda image: otsu_mask(image, bright=False),
}
IMAGE_BASELINES: dict[str, Baseline] = {
    "image as it is": lambda image: blur(image, sigma=0),
    "image, blurred by 1 pixel": lambda image: blur(image, sigma=1),
    "image, blurred by 2 pixels": lambda image: blur(image, sigma=2),
    "image inverted, blurred by 2 pixels": lambda image: inverted(image, sigma=2),
}
