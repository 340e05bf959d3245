"""The loss of all objects at once equals the loss object by object over whole crops, and so does its gradient."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_embedseg import instance_term
from im2im_embedseg.centers import Method, center_image
from im2im_embedseg.loss import SpatialEmbeddingLoss

GEOMETRY: dict[int, dict[str, Any]] = {
    2: {"grid": (96, 160), "pixel": (1.0, 1.5), "n_sigma": 2},
    3: {"grid": (16, 64, 64), "pixel": (0.5, 1.0, 1.0), "n_sigma": 3},
}
SHAPE = {2: (44, 56), 3: (8, 24, 28)}
CELLS = {2: (3, 4), 3: (1, 2, 3)}


def batch(dims: int, state: str = "trained", **changes: Any) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Geometry, prediction and target of two crops."""
    geometry = GEOMETRY[dims] | changes
    rng = np.random.default_rng(dims)
    labels = [direct.blobs(SHAPE[dims], CELLS[dims], rng) for _ in range(2)]
    predictions = [direct.trained_prediction(image, **geometry, rng=rng) for image in labels]
    prediction = torch.from_numpy(np.stack(predictions))
    if state != "trained":
        prediction[:, :dims] = 0.02 * torch.randn(prediction[:, :dims].shape, generator=torch.manual_seed(0))
    if state == "flat":
        prediction[:, dims:-1] = 0
    return geometry, prediction, torch.from_numpy(np.stack(labels))[:, None]


def evaluate(function: Any, prediction: Tensor) -> tuple[float, Tensor]:
    """Value and gradient."""
    leaf = prediction.detach().clone().requires_grad_()
    value = function(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.item(), leaf.grad


def agree(
    loss: SpatialEmbeddingLoss, geometry: dict[str, Any], prediction: Tensor, target: Tensor, **more: Any
) -> None:
    """Against the direct form in double precision, whose order of near-ties may be another one."""
    given = {name: more[name] for name in ("costmap", "center_image") if name in more}
    value, grad = evaluate(lambda p: loss(p, target, **given), prediction)
    expected, expected_grad = evaluate(lambda p: direct.loss(p, target, **geometry, **more), prediction.double())
    assert value == pytest.approx(expected, rel=1e-5)
    difference = (grad - expected_grad).abs()
    scale = expected_grad.abs().max()
    assert difference.max() < 1e-2 * scale
    assert (difference > 1e-5 * scale + 1e-9).double().mean() < 1e-3


@pytest.mark.parametrize(
    "name", [f"embedseg_loss_{case}" for case in ("2d_0", "2d_1", "2d_2", "2d_empty", "3d_0", "3d_1", "3d_empty")]
)
def test_golden(name: str) -> None:
    arrays, params = direct.golden(name)
    dims = arrays["prediction"].ndim - 2
    loss = SpatialEmbeddingLoss(dims, **direct.geometry(params, dims), foreground_weight=params["foreground_weight"])
    target, centers = torch.from_numpy(arrays["instances"]), torch.from_numpy(arrays["center_image"])
    value, grad = evaluate(lambda p: loss(p, target, center_image=centers), torch.from_numpy(arrays["prediction"]))
    assert value == pytest.approx(float(arrays["loss"]), rel=1e-4)
    tolerance = 1e-5 * np.abs(arrays["grad"]).max() + 1e-6
    assert (np.abs(grad.numpy() - arrays["grad"]) > tolerance).mean() <= 1e-3


@pytest.mark.parametrize("state", ["trained", "untrained", "flat"])
@pytest.mark.parametrize("dims", [2, 3])
def test_direct(dims: int, state: str) -> None:
    geometry, prediction, target = batch(dims, state)
    agree(SpatialEmbeddingLoss(dims, **geometry), geometry, prediction, target)


@pytest.mark.parametrize("dims", [2, 3])
def test_one_sigma_for_all_axes(dims: int) -> None:
    geometry, prediction, target = batch(dims, n_sigma=1)
    agree(SpatialEmbeddingLoss(dims, **geometry), geometry, prediction, target)


@pytest.mark.parametrize("state", ["trained", "flat"])
def test_small_tables_change_nothing(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    geometry, prediction, target = batch(2, state)
    loss = SpatialEmbeddingLoss(2, **geometry)
    value, grad = evaluate(lambda p: loss(p, target), prediction)
    monkeypatch.setattr(instance_term, "_PAIRS_CPU", 100)
    small_value, small_grad = evaluate(lambda p: loss(p, target), prediction)
    assert small_value == pytest.approx(value, rel=1e-6)
    torch.testing.assert_close(small_grad, grad, rtol=1e-4, atol=1e-7 * float(grad.abs().max()))


def test_weights_of_the_terms() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry, foreground_weight=3, w_inst=0.5, w_var=2, w_seed=7)
    agree(loss, geometry, prediction, target, foreground_weight=3, weights=(0.5, 2, 7))


@pytest.mark.parametrize("method", ["approximate-medoid", "medoid"])
def test_centres_that_are_pixels(method: Method) -> None:
    geometry, prediction, target = batch(2)
    marks = torch.from_numpy(np.stack([center_image(image, method) for image in target[:, 0].numpy()]))[:, None]
    value, grad = evaluate(lambda p: SpatialEmbeddingLoss(2, **geometry, center=method)(p, target), prediction)
    loss = SpatialEmbeddingLoss(2, **geometry)
    expected, expected_grad = evaluate(lambda p: loss(p, target, center_image=marks), prediction)
    assert value == expected and torch.equal(grad, expected_grad)
    assert value != loss(prediction, target).item()
    agree(loss, geometry, prediction, target, center_image=marks)


@pytest.mark.parametrize("dims", [2, 3])
def test_costmap_equals_removal(dims: int) -> None:
    geometry, prediction, target = batch(dims)
    generator = torch.Generator().manual_seed(1)
    costmap = (torch.rand(target.shape, generator=generator) > 0.3) * (
        0.5 + torch.rand(target.shape, generator=generator)
    )
    agree(SpatialEmbeddingLoss(dims, **geometry), geometry, prediction, target, costmap=costmap)


def test_pixels_without_cost_influence_nothing() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    costmap = torch.ones_like(target, dtype=torch.float32)
    costmap[:, :, 10:22, 5:30] = 0
    costmap[:, :, ::7] = 0
    hidden = costmap == 0
    value, grad = evaluate(lambda p: loss(p, target, costmap), prediction)
    assert not grad[hidden.expand_as(grad)].any()
    noise = 5 * torch.randn(prediction.shape, generator=torch.Generator().manual_seed(2))
    changed_value, changed_grad = evaluate(
        lambda p: loss(p, torch.where(hidden, 99, target), costmap), torch.where(hidden, noise, prediction)
    )
    assert changed_value == pytest.approx(value, rel=1e-6)
    torch.testing.assert_close(changed_grad, grad)


def test_a_costmap_of_ones_is_none() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    assert loss(prediction, target, torch.ones(target.shape)).item() == pytest.approx(loss(prediction, target).item())


def test_a_mark_without_cost_is_no_centre() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    marks = torch.zeros_like(target)
    place = (target[0, 0] == 5).nonzero()[0]
    marks[0, 0, place[0], place[1]] = 1
    costmap = 1 - marks.float()
    assert loss(prediction, target, costmap, marks).item() == loss(prediction, target, costmap).item()
    assert loss(prediction, target, None, marks).item() != loss(prediction, target).item()


@pytest.mark.parametrize("hidden", [False, True])
def test_empty_crops(hidden: bool) -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    costmap = torch.full(target.shape, float(not hidden))
    value, grad = evaluate(lambda p: loss(p, torch.zeros_like(target), costmap), prediction)
    assert value == pytest.approx(0 if hidden else float(torch.sigmoid(prediction[:, -1]).square().mean()), rel=1e-5)
    assert not grad[:, :-1].any() and bool(grad[:, -1].any()) != hidden


def test_one_of_two_crops_is_empty() -> None:
    geometry, prediction, target = batch(2)
    target[1] = 0
    agree(SpatialEmbeddingLoss(2, **geometry), geometry, prediction, target)


def test_one_object_that_fills_the_crop_and_one_pixel() -> None:
    geometry, prediction, target = batch(2)
    target[0] = 4
    target[1] = 0
    target[1, 0, 20, 0] = 2
    agree(SpatialEmbeddingLoss(2, **geometry), geometry, prediction, target)


def test_objects_cut_at_the_border() -> None:
    geometry, prediction, target = batch(2)
    prediction, target = prediction[..., 5:27, 9:31].clone(), target[..., 5:27, 9:31].clone()
    agree(SpatialEmbeddingLoss(2, **geometry), geometry, prediction, target)


def test_wild_predictions() -> None:
    """Embeddings all over the place, far outside the crop, and bandwidths from one pixel to everything."""
    geometry, prediction, target = batch(2)
    generator = torch.Generator().manual_seed(3)
    wild = torch.randn(prediction.shape, generator=generator)
    wild[:, 2:4] *= 0.5
    agree(SpatialEmbeddingLoss(2, **geometry), geometry, wild, target)


def test_large_label_values_and_float_targets() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    value = loss(prediction, target).item()
    assert loss(prediction, target.float()).item() == value
    large = torch.where(target > 0, target.long() * 300_000_000, 0)
    assert loss(prediction, large).item() == pytest.approx(value, rel=1e-6)


def test_deterministic_and_without_gradient() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    value, grad = evaluate(lambda p: loss(p, target), prediction)
    again, grad_again = evaluate(lambda p: loss(p, target), prediction)
    assert value == again and torch.equal(grad, grad_again)
    with torch.no_grad():
        assert loss(prediction, target).item() == value


def test_autocast_computes_in_single_precision() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, grad = evaluate(lambda p: loss(p, target), prediction)
        half_value, half_grad = evaluate(lambda p: loss(p, target), prediction.bfloat16())
    assert value == evaluate(lambda p: loss(p, target), prediction)[0]
    assert half_value == evaluate(lambda p: loss(p, target), prediction.bfloat16().float())[0]
    assert grad.dtype == torch.float32 and half_grad.dtype == torch.bfloat16


@pytest.mark.parametrize("channel", range(5))
@pytest.mark.parametrize("place", [0, 1], ids=["background", "foreground"])
def test_nan_in_nan_out(channel: int, place: int) -> None:
    geometry, prediction, target = batch(2)
    y, x = ((target[0, 0] > 0) == bool(place)).nonzero()[7]
    prediction[0, channel, y, x] = math.nan
    # The sigma of a background pixel is not used.
    unused = place == 0 and channel in (2, 3)
    assert math.isnan(SpatialEmbeddingLoss(2, **geometry)(prediction, target).item()) != unused


def test_extreme_sigmas_stay_finite() -> None:
    geometry, prediction, target = batch(2)
    prediction[0, 2:4], prediction[1, 2:4] = 30, -30
    value, grad = evaluate(lambda p: SpatialEmbeddingLoss(2, **geometry)(p, target), prediction)
    assert math.isfinite(value) and grad.isfinite().all()


def test_shapes_must_fit() -> None:
    geometry, prediction, target = batch(2)
    loss = SpatialEmbeddingLoss(2, **geometry)
    with pytest.raises(ValueError, match="target has shape"):
        loss(prediction, target[..., 1:])
    with pytest.raises(ValueError, match="costmap has shape"):
        loss(prediction, target, target[:1])
    with pytest.raises(ValueError, match="4 channels, expected 5"):
        loss(prediction[:, 1:], target)
    with pytest.raises(ValueError, match="5 axes, expected 4"):
        loss(prediction[..., None], target)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_sigma": 3}, "n_sigma"),
        ({"grid": (1, 8)}, "at least 2"),
        ({"pixel": (1.0, 0.0)}, "positive"),
        ({"grid": (8, 8, 8)}, "2 numbers"),
        ({"center": "middle"}, "unknown centre"),
    ],
)
def test_settings_must_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SpatialEmbeddingLoss(2, **(GEOMETRY[2] | changes))
