"""Figures of merit for images. Imported by factories only; loads scikit-image, never torch.

No figure is ever NaN or infinite: what is undefined is either defined here, in words, or left out.
"""

from __future__ import annotations

import numpy as np

from im2im_core.errors import DataError
from im2im_core.interfaces import NumpyArray

HIGHEST_PSNR = 100.0
"""Decibel reported for equal images, whose PSNR is infinite, and the most that is ever reported."""
SSIM_WINDOW = 11
"""Pixels; Gaussian of sigma 1.5 cut at 3.5 sigma, as in the paper."""


def aligned(prediction: NumpyArray, target: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """Drop leading axes of length 1 from the array that has more axes, so that (1, Y, X) can meet (Y, X).

    Raises:
        DataError: the shapes differ otherwise, or there are no pixels.
    """
    shapes = prediction.shape, target.shape
    while prediction.ndim > target.ndim and prediction.shape[0] == 1:
        prediction = prediction[0]
    while target.ndim > prediction.ndim and target.shape[0] == 1:
        target = target[0]
    if prediction.shape != target.shape:
        raise DataError(
            f"the prediction has shape '{shapes[0]}' and the target '{shapes[1]}'",
            "compare a prediction with the target of the same image, at the same size",
        )
    if prediction.size == 0:
        raise DataError(f"there is nothing to compare: both images have shape '{shapes[0]}'")
    return prediction, target


def check_finite(array: NumpyArray, what: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        DataError: there are such pixels.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        number = int(np.count_nonzero(~np.isfinite(array)))
        raise DataError(
            f"the {what} has '{number}' pixels that are NaN or infinite",
            "no figure would mean anything; mend the image",
        )


def psnr(prediction: NumpyArray, target: NumpyArray, data_range: float | None = None) -> dict[str, float]:
    """Peak signal-to-noise ratio in decibel.

    Args:
        prediction: any shape.
        target: the same shape; leading axes of length 1 apart.
        data_range: intensity range; by default that of the target, and for a constant target that of both images.

    Returns:
        `psnr`, at most 100 (equal images).

    Raises:
        DataError: the shapes differ, or a value is not finite.
    """
    first, second = _intensities(prediction, target)
    if np.array_equal(first, second):
        return {"psnr": HIGHEST_PSNR}
    error = float(np.mean(((first - second) / _range(first, second, data_range)) ** 2))
    return {"psnr": min(HIGHEST_PSNR, -10 * float(np.log10(error)) if error > 0 else HIGHEST_PSNR)}


def ssim(prediction: NumpyArray, target: NumpyArray, data_range: float | None = None) -> dict[str, float]:
    """Structural similarity, averaged over planes: the last two axes are one plane, all others are counted through.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing 13(4), 2004; with their Gaussian window of 11 x 11 pixels, sigma 1.5.

    Args:
        prediction: (..., Y, X).
        target: the same shape; leading axes of length 1 apart.
        data_range: intensity range; by default that of the target, and for a constant target that of both images.

    Returns:
        `ssim`, in [-1, 1]; 1 for equal images.

    Raises:
        DataError: the shapes differ, a plane is smaller than the window, or a value is not finite.
    """
    from skimage.metrics import structural_similarity

    first, second = _intensities(prediction, target)
    if first.ndim < 2 or min(first.shape[-2:]) < SSIM_WINDOW:
        raise DataError(
            f"an image of shape '{first.shape}' is too small for SSIM",
            f"it needs {SSIM_WINDOW} x {SSIM_WINDOW} pixels; leave the metric 'ssim' out",
        )
    if np.array_equal(first, second):
        return {"ssim": 1.0}
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    value_range = _range(first, second, data_range)
    planes = zip(first.reshape(-1, *first.shape[-2:]), second.reshape(-1, *second.shape[-2:]), strict=True)
    values = [structural_similarity(one, other, data_range=value_range, **settings) for one, other in planes]
    return {"ssim": float(np.mean(values))}


def pearson(prediction: NumpyArray, target: NumpyArray) -> dict[str, float]:
    """Pearson correlation over all pixels.

    Returns:
        `pearson`, in [-1, 1]. It is undefined where an image is constant: 1 if the images are equal, else 0.

    Raises:
        DataError: the shapes differ, or a value is not finite.
    """
    first, second = _intensities(prediction, target)
    if np.array_equal(first, second):
        return {"pearson": 1.0}
    first, second = first - first.mean(), second - second.mean()
    # Scaled before squaring, so that neither tiny nor huge intensities leave the range of the numbers.
    scale_first, scale_second = np.abs(first).max(), np.abs(second).max()
    if scale_first == 0 or scale_second == 0 or min(np.ptp(prediction), np.ptp(target)) == 0:
        return {"pearson": 0.0}
    first, second = first / scale_first, second / scale_second
    value = np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2))
    return {"pearson": float(np.clip(value, -1, 1))}


def mae(prediction: NumpyArray, target: NumpyArray) -> dict[str, float]:
    """Mean absolute error in the target's units.

    Raises:
        DataError: the shapes differ, or a value is not finite.
    """
    first, second = _intensities(prediction, target)
    return {"mae": float(np.mean(np.abs(first - second)))}


def rmse(prediction: NumpyArray, target: NumpyArray) -> dict[str, float]:
    """Root mean square error in the target's units.

    Raises:
        DataError: the shapes differ, or a value is not finite.
    """
    first, second = _intensities(prediction, target)
    return {"rmse": float(np.sqrt(np.mean((first - second) ** 2)))}


def _intensities(prediction: NumpyArray, target: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """Both images as float64, so that unsigned integers cannot wrap around."""
    prediction, target = aligned(np.asarray(prediction), np.asarray(target))
    check_finite(prediction, "prediction")
    check_finite(target, "target")
    return prediction.astype(np.float64), target.astype(np.float64)


def _range(prediction: NumpyArray, target: NumpyArray, data_range: float | None) -> float:
    """The given range, else that of the target, else (constant target) that of both images; never 0 if they differ."""
    both = max(prediction.max(), target.max()) - min(prediction.min(), target.min())
    return float(data_range or np.ptp(target) or both)
