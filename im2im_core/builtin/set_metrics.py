"""Figures of merit for sets of images without pairs: all predictions together against all targets together.

Imported by factories only. Each is a function of two iterables of arrays (C, [Z,] Y, X), which may differ in number and
size; both must have the same units and pixel size.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from im2im_core.builtin.metrics import check_finite
from im2im_core.builtin.set_features import set_features
from im2im_core.errors import DataError
from im2im_core.interfaces import NumpyArray

Images = Iterable[NumpyArray]
SUBSETS, MOST_IN_SUBSET = 20, 1000
QUANTILES = 4096
"""An image with more pixels stands in a histogram by so many quantiles."""


def frechet_distance(predictions: Images, targets: Images, *, tile: int = 64) -> dict[str, float]:
    """Frechet distance between Gaussians fitted to features of tiles.

    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017,
    but over the fixed features of `set_features` and not an Inception network's: NOT comparable with figures published
    as FID. Each feature is measured in standard deviations of the targets, and what lies beyond a few of them counts by
    its logarithm. It is biased upwards where there are few tiles, so only figures of equally large sets can be compared
    with each other.

    Args:
        predictions: images.
        targets: images of the kind that the predictions should be.
        tile: side of a tile in pixels.

    Returns:
        `frechet_distance`, 0 for equal sets.

    Raises:
        DataError: fewer than two tiles on a side, other channels, or values that are not finite.
    """
    ours, theirs = _features(predictions, targets, tile)
    metric = FrechetInceptionDistance(feature=_AsItIs(ours.shape[1]))
    metric.update(theirs, real=True)
    metric.update(ours, real=False)
    return {"frechet_distance": max(0.0, float(metric.compute()))}


def kernel_distance(predictions: Images, targets: Images, *, tile: int = 64) -> dict[str, float]:
    """Squared maximum mean discrepancy with a cubic kernel between features of tiles; for small sets too.

    Binkowski et al., "Demystifying MMD GANs", ICLR 2018, but over the fixed features of `set_features`: NOT comparable
    with figures published as KID. Features are scaled as for `frechet_distance`. The estimate is unbiased, and so for
    nearly equal sets may be below 0.

    Arguments and errors are those of `frechet_distance`; the figure is `kernel_distance`.
    """
    ours, theirs = _features(predictions, targets, tile)
    size = min(len(ours), len(theirs), MOST_IN_SUBSET)
    everything = len(ours) == len(theirs) == size
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it warns of keeping features, which are few numbers here
        torch.manual_seed(0)  # for the choice of subsets
        metric = KernelInceptionDistance(
            feature=_AsItIs(ours.shape[1]), subsets=1 if everything else SUBSETS, subset_size=size
        )
        metric.update(theirs, real=True)
        metric.update(ours, real=False)
        mean, _ = metric.compute()
    return {"kernel_distance": float(mean)}


def histogram_distance(predictions: Images, targets: Images) -> dict[str, float]:
    """Wasserstein distance between the intensities of both sets, in the target's units.

    It is the mean amount by which intensities would have to change for the two histograms to agree; where they lie in
    the image makes no difference.

    Returns:
        `histogram_distance`, the mean over channels; of several channels also `histogram_distance_channel_1` and so on.

    Raises:
        DataError: nothing to compare, other channels, or values that are not finite.
    """
    ours, theirs = _intensities(predictions, "prediction"), _intensities(targets, "target")
    _check_channels(len(ours), len(theirs))
    distances = [
        float(wasserstein_distance(one[0], other[0], one[1], other[1])) for one, other in zip(ours, theirs, strict=True)
    ]
    figures = {"histogram_distance": float(np.mean(distances))}
    if len(distances) > 1:
        figures |= {f"histogram_distance_channel_{n}": value for n, value in enumerate(distances, start=1)}
    return figures


class _AsItIs(torch.nn.Module):
    """Stands where torchmetrics expects a network: what it is given are features already."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.num_features = count

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The same features."""
        return features


def _features(predictions: Images, targets: Images, tile: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of both, in standard deviations of the targets around their mean."""
    ours, theirs = set_features(predictions, tile, "prediction"), set_features(targets, tile, "target")
    _check_channels(ours.shape[1], theirs.shape[1])
    # A feature that no target varies in is measured by how the predictions vary.
    scale = np.where(_varies(theirs), theirs.std(axis=0), np.where(_varies(ours), ours.std(axis=0), 1.0))
    middle = theirs.mean(axis=0)
    # Otherwise one odd tile, in a kernel that cubes, would decide alone.
    ours, theirs = (np.arcsinh((features - middle) / scale) for features in (ours, theirs))
    return torch.from_numpy(ours), torch.from_numpy(theirs)


def _varies(features: NumpyArray) -> NumpyArray:
    varies: NumpyArray = features.std(axis=0) > 1e-6 * np.abs(features).max(axis=0)
    return varies


def _check_channels(ours: int, theirs: int) -> None:
    if ours != theirs:
        raise DataError("predictions and targets have different numbers of channels", "compare images of one kind")


def _quantiles(flat: NumpyArray, count: int) -> NumpyArray:
    """Evenly spaced quantiles of each row."""
    length = flat.shape[1]
    places = (np.arange(count) + 0.5) / count * length - 0.5
    # Sorted by hand: np.quantile takes a hundred times longer for so many.
    return np.stack([np.interp(places, np.arange(length), np.sort(row)) for row in flat])


def _intensities(arrays: Images, what: str) -> list[tuple[NumpyArray, NumpyArray]]:
    """Of each channel: intensities, and of each intensity how many pixels it stands for."""
    values: list[NumpyArray] = []
    weights = []
    for array in arrays:
        check_finite(array, what)
        flat = array.reshape(array.shape[0], -1)
        count = min(QUANTILES, flat.shape[1])
        few = _quantiles(flat, count) if count < flat.shape[1] else flat
        if values and len(values[0]) != len(few):
            raise DataError(f"the {what}s have different numbers of channels", "compare images of one kind")
        values.append(few.astype(np.float64))
        weights.append(np.full(count, flat.shape[1] / count))
    if not values or not sum(map(np.sum, weights)):
        raise DataError(f"there is no {what} to compare")
    weight = np.concatenate(weights)
    return [(channel, weight) for channel in np.concatenate(values, axis=1)]
