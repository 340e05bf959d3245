"""The formulas of the papers, object by object over whole images: slow, plain, and what the package is compared with.

Neven et al. 2019 (CVPR), Lalit et al. 2022 (Medical Image Analysis), Berman et al. 2018 (CVPR). Also generated data.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden"


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and parameters of a stored computation; skips the test where there are none."""
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip("golden vectors are not part of the repository")
    cases = json.loads((GOLDEN / "index.json").read_text())["cases"]
    params = next(case.get("params", {}) for case in cases if case["name"] == name)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays), params


def geometry(params: dict[str, Any], dims: int) -> dict[str, Any]:
    """Arguments `grid`, `pixel` and `n_sigma` from the parameters of a stored computation."""
    axes = "zyx"[-dims:]
    grid = params.get("grid_zyx") or [params[f"grid_{axis}"] for axis in axes]
    pixel = params.get("pixel_zyx") or [params.get(f"pixel_{axis}", 1) for axis in axes]
    return {"grid": tuple(grid), "pixel": tuple(pixel), "n_sigma": params["n_sigma"]}


def coordinates(shape: Sequence[int], grid: Sequence[int], pixel: Sequence[float]) -> Tensor:
    """(D, [Z], Y, X), channels x, y[, z]."""
    steps = [extent / (count - 1) for extent, count in zip(pixel, grid, strict=True)]
    axes = [torch.arange(n, dtype=torch.float64) * step for n, step in zip(shape, steps, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1])


def lovasz_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """One problem; logits and 0/1 labels of one shape."""
    truth = labels.flatten().to(logits.dtype)
    errors, order = torch.sort(1 - logits.flatten() * (2 * truth - 1), descending=True)
    truth = truth[order]
    jaccard = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0))
    weights = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return (torch.relu(errors) * weights.detach()).sum()


def loss(
    prediction: Tensor,
    target: Tensor,
    *,
    grid: Sequence[int],
    pixel: Sequence[float],
    n_sigma: int,
    foreground_weight: float = 10.0,
    weights: tuple[float, float, float] = (1.0, 10.0, 1.0),
    costmap: Tensor | None = None,
    center_image: Tensor | None = None,
) -> Tensor:
    """Scalar loss of a batch, in the precision of `prediction`.

    Pixels of cost 0 are taken out of the lists of pixels before anything is computed.
    """
    dims = target.ndim - 2
    where = coordinates(target.shape[2:], grid, pixel).flatten(1).to(prediction.dtype)
    total = prediction.new_zeros(())
    for b in range(len(prediction)):
        cost = torch.ones_like(where[0]) if costmap is None else costmap[b].flatten().to(where.dtype)
        kept = cost > 0
        coords, cost, ids = where[:, kept], cost[kept], target[b].flatten()[kept]
        marks = torch.zeros_like(ids) if center_image is None else center_image[b].flatten()[kept]
        raw = prediction[b].flatten(1)[:, kept]
        embedding, sigma = torch.tanh(raw[:dims]) + coords, raw[dims : dims + n_sigma]
        seed = torch.sigmoid(raw[-1])
        instance = variance = raw.sum() * 0
        seed_term = (seed.square() * cost)[ids == 0].sum()
        numbers = [i for i in ids.unique().tolist() if i != 0]
        for number in numbers:
            mask = ids == number
            mean = sigma[:, mask].mean(1, keepdim=True)
            variance = variance + (sigma[:, mask] - mean.detach()).square().mean()
            marked = mask & (marks != 0)
            middle = coords[:, marked if int(marked.sum()) == 1 else mask].mean(1, keepdim=True)
            phi = torch.exp(-((embedding - middle).square() * torch.exp(10 * mean)).sum(0))
            instance = instance + lovasz_hinge(2 * phi - 1, mask)
            error = (seed - phi.detach())[mask].square() * cost[mask]
            seed_term = seed_term + foreground_weight * error.sum()
        many = max(len(numbers), 1)
        parts = (instance / many, variance / many, seed_term / max(len(cost), 1))
        total = total + sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return total / len(prediction)


def cluster(
    prediction: np.ndarray,
    *,
    grid: Sequence[int],
    pixel: Sequence[float],
    n_sigma: int,
    seed_threshold: float,
    min_mask_sum: int,
    min_unclustered_sum: int,
    min_object_size: int,
    foreground_threshold: float = 0.5,
) -> np.ndarray:
    """Labels of one image, each proposal over all candidates."""
    shape = prediction.shape[1:]
    dims = len(shape)
    raw = torch.from_numpy(prediction)
    seed = torch.sigmoid(raw[-1]).flatten()
    candidates = torch.nonzero(seed > foreground_threshold)[:, 0]
    labels = np.zeros(math.prod(shape), np.uint16)
    if len(candidates) <= min_mask_sum:
        return labels.reshape(shape)
    seed = seed[candidates]
    embedding = (torch.tanh(raw[:dims]) + coordinates(shape, grid, pixel).float()).flatten(1)[:, candidates]
    sigma = raw[dims : dims + n_sigma].flatten(1)[:, candidates]
    free = torch.ones(len(candidates), dtype=torch.bool)
    found, label = torch.zeros(len(candidates), dtype=torch.int32), 0
    remaining = seed.clone()
    while int(free.sum()) > min_unclustered_sum:
        best = int(remaining.argmax())
        if not free[best] or float(seed[best]) < seed_threshold:
            break
        free[best] = False
        scale = torch.exp(10 * sigma[:, best])[:, None]
        proposal = torch.exp(-((embedding - embedding[:, best, None]).square() * scale).sum(0)) > 0.5
        size = int(proposal.sum())
        if size > min_object_size and 2 * int(free[proposal].sum()) > size:
            label += 1
            found[proposal] = label
        free[proposal] = False
        remaining[proposal] = -1
        remaining[best] = -1
    labels[candidates.numpy()] = found.numpy()
    return labels.reshape(shape)


def blobs(shape: Sequence[int], per_axis: Sequence[int], rng: np.random.Generator, fill: float = 0.42) -> np.ndarray:
    """Label image with one ellipsoid in each cell of a jittered grid of `per_axis` cells, in random order of labels.

    Args:
        shape: ([Z], Y, X).
        per_axis: number of cells along each axis.
        rng: source of randomness.
        fill: largest radius of an ellipsoid over the size of its cell.
    """
    labels = np.zeros(shape, np.int32)
    cell = np.array(shape) / np.array(per_axis)
    numbers = rng.permutation(math.prod(per_axis)) + 1
    for number, index in zip(numbers, np.ndindex(*per_axis), strict=True):
        radius = cell * fill * rng.uniform(0.65, 1.0, len(shape))
        middle = cell * (np.array(index) + 0.5) + rng.uniform(-0.15, 0.15, len(shape)) * cell
        low = np.maximum(np.floor(middle - radius), 0).astype(int)
        high = np.minimum(np.ceil(middle + radius) + 1, shape).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        offsets = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        inside = sum(((o - m) / r) ** 2 for o, m, r in zip(offsets, middle, radius, strict=True)) <= 1
        labels[box][inside] = number
    return labels


def trained_prediction(
    labels: np.ndarray,
    grid: Sequence[int],
    pixel: Sequence[float],
    rng: np.random.Generator,
    *,
    n_sigma: int | None = None,
    noise: float = 1.0,
) -> np.ndarray:
    """What a good network would predict: float32 (D + n_sigma + 1, [Z], Y, X).

    Offsets point to the centroid, off by `noise` pixels; bandwidths suit the size of the object; background pixels have
    small random offsets and a low seed, with some exceptions.
    """
    dims = labels.ndim
    n_sigma = dims if n_sigma is None else n_sigma
    steps = [extent / (count - 1) for extent, count in zip(pixel, grid, strict=True)]
    flat, count = labels.ravel(), int(labels.max())
    size = np.bincount(flat, minlength=count + 1)
    places = np.indices(labels.shape, dtype=np.int32).reshape(dims, -1)
    result = np.empty((dims + n_sigma + 1, flat.size), np.float32)
    radii = []
    for channel, axis in enumerate(reversed(range(dims))):
        sums = np.bincount(flat, weights=places[axis], minlength=count + 1)
        squares = np.bincount(flat, weights=places[axis].astype(float) ** 2, minlength=count + 1)
        mean = sums / np.maximum(size, 1)
        # Twice the standard deviation of an ellipse along an axis is its half axis.
        radius = np.maximum(2 * np.sqrt(np.maximum(squares / np.maximum(size, 1) - mean**2, 0)), 2)
        radius[0] = 8
        radii.append(radius * steps[axis])
        offset = np.where(flat > 0, mean[flat] - places[axis], 0) + noise * rng.standard_normal(flat.size)
        result[channel] = np.arctanh(np.clip(offset * steps[axis], -0.99, 0.99))
    if n_sigma == 1:
        radii = [np.mean(radii, axis=0)]
    for channel, radius in enumerate(radii, start=dims):
        sigma = np.log(math.log(2) / radius[flat] ** 2) / 10
        result[channel] = sigma + 0.01 * rng.standard_normal(flat.size)
    result[-1] = np.where(flat > 0, 2.5, -3.0) + 0.8 * rng.standard_normal(flat.size)
    return result.reshape(-1, *labels.shape)
