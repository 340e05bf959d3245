"""Every loss of the plug-in keeps the contract: a scalar with finite gradients, and no say of pixels without cost."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from im2im_core import ConfigError, DataError, Loss
from im2im_fcn.losses.declarations import LOSSES

SHAPES = {2: (24, 28), 3: (8, 16, 20)}
SEGMENTATION = [loss for loss in LOSSES if "semantic-segmentation" in loss.tasks]
IMAGES = [loss for loss in LOSSES if loss not in SEGMENTATION]
RULES: dict[str, Any] = {"topological-interaction": {"exclusion": [[1, 0]]}}
CASES = [(loss, outputs) for loss in SEGMENTATION for outputs in (1, 3)]
CASES += [(loss, channels) for loss in IMAGES for channels in (1, 2)]


def build(loss: Loss, dims: int, **settings: Any) -> nn.Module:
    config = loss.config(**RULES.get(loss.name, {}), **settings)
    names = loss.factory.__code__.co_varnames
    built: nn.Module = loss.factory(config, **({"spatial_dims": dims} if "spatial_dims" in names else {}))
    return built


def sample(loss: Loss, channels: int, dims: int) -> tuple[Tensor, Tensor]:
    generator = torch.manual_seed(dims + channels)
    prediction = torch.randn(2, channels, *SHAPES[dims], generator=generator)
    if loss in IMAGES:
        return prediction, torch.rand(prediction.shape, generator=generator)
    target = torch.zeros(2, 1, *SHAPES[dims])
    target[..., 2:7, 3:10] = 1
    target[..., 10:14, 4:15] = 2
    return prediction, target


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
def case(request: pytest.FixtureRequest) -> tuple[Loss, int]:
    if request.param[0].name in ("persistent-homology", "topological-complexity"):
        pytest.importorskip("gudhi")
    result: tuple[Loss, int] = request.param
    return result


@pytest.mark.parametrize("dims", [2, 3])
def test_scalar_with_finite_gradients_that_a_step_reduces(case: tuple[Loss, int], dims: int) -> None:
    loss, channels = case
    prediction, target = sample(loss, channels, dims)
    prediction.requires_grad_()
    module = build(loss, dims)
    value = module(prediction, target)
    assert value.shape == () and value.isfinite()
    (gradient,) = torch.autograd.grad(value, prediction)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    with torch.no_grad():
        # Straight-through and soft counts have gradients of a neighbouring function: only some steps help.
        steps = [prediction - size * gradient / gradient.abs().max() for size in (0.01, 0.1, 1.0, 5.0)]
        assert min(module(step, target) for step in steps) < value


@pytest.mark.parametrize("dims", [2, 3])
def test_pixels_of_cost_0_have_no_say(case: tuple[Loss, int], dims: int) -> None:
    loss, channels = case
    prediction, target = sample(loss, channels, dims)
    costmap = torch.ones(2, 1, *SHAPES[dims])
    costmap[..., :12, :8] = 0
    other = torch.where(costmap > 0, prediction, -3 * prediction + 1).requires_grad_()
    module = build(loss, dims)
    value = module(other, target, costmap)
    torch.testing.assert_close(value.detach(), module(prediction, target, costmap))
    value.backward()
    gradient: Any = other.grad
    assert gradient.isfinite().all() and not gradient[(costmap == 0).expand_as(gradient)].any()
    assert gradient.any()


@pytest.mark.parametrize("dims", [2, 3])
def test_no_pixel_counts(case: tuple[Loss, int], dims: int) -> None:
    loss, channels = case
    prediction, target = sample(loss, channels, dims)
    prediction.requires_grad_()
    value = build(loss, dims)(prediction, target, torch.zeros(2, 1, *SHAPES[dims]))
    value.backward()
    assert value.isfinite() and not torch.as_tensor(prediction.grad).any()


def test_half_precision(case: tuple[Loss, int]) -> None:
    loss, channels = case
    prediction, target = sample(loss, channels, 2)
    rounded = prediction.bfloat16()
    half = rounded.clone().requires_grad_()
    value = build(loss, 2)(half, target, torch.ones(2, 1, *SHAPES[2]))
    torch.testing.assert_close(value.float(), build(loss, 2)(rounded.float(), target), rtol=1e-3, atol=1e-4)
    value.backward()
    assert torch.as_tensor(half.grad).isfinite().all()


@pytest.mark.parametrize("loss", SEGMENTATION, ids=lambda loss: loss.name)
def test_a_mask_for_each_class(loss: Loss) -> None:
    if loss.name in ("persistent-homology", "topological-complexity"):
        pytest.importorskip("gudhi")
    prediction, target = sample(loss, 3, 2)
    masks = nn.functional.one_hot(target[:, 0].long(), 3).movedim(-1, 1)
    module, costmap = build(loss, 2), torch.ones(masks.shape)
    value = module(prediction, masks)
    torch.testing.assert_close(module(prediction, masks, costmap), value)
    if loss.name not in ("generalized-dice-focal", "tversky", "boundary"):
        torch.testing.assert_close(value, module(prediction, target))


def test_right_prediction_beats_wrong_ones(case: tuple[Loss, int]) -> None:
    loss, channels = case
    prediction, target = sample(loss, channels, 2)
    right = target
    if loss in SEGMENTATION:
        classes = target[:, 0].long() if channels == 3 else (target[:, 0] > 0).long()
        hot = nn.functional.one_hot(classes, max(channels, 2)).movedim(-1, 1).float()
        right = 20 * hot - 10 if channels == 3 else 20 * hot[:, 1:] - 10
    module = build(loss, 2)
    assert module(right, target) < module(prediction, target)


@pytest.mark.parametrize("loss", SEGMENTATION, ids=lambda loss: loss.name)
def test_empty_target_and_extreme_logits(loss: Loss) -> None:
    if loss.name in ("persistent-homology", "topological-complexity"):
        pytest.importorskip("gudhi")
    for fill in (-80.0, 80.0):
        prediction = torch.full((1, 1, 24, 28), fill, requires_grad=True)
        value = build(loss, 2)(prediction, torch.zeros(1, 1, 24, 28))
        value.backward()
        assert value.isfinite() and torch.as_tensor(prediction.grad).isfinite().all()


@pytest.mark.parametrize("loss", SEGMENTATION, ids=lambda loss: loss.name)
def test_wrong_class_is_reported(loss: Loss) -> None:
    with pytest.raises(DataError, match="class '5'"):
        build(loss, 2)(torch.zeros(1, 3, 16, 16), torch.full((1, 1, 16, 16), 5))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_wrong_shape_is_reported(loss: Loss) -> None:
    with pytest.raises(DataError, match="shape"):
        build(loss, 2)(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 8, 16))


def test_missing_gudhi_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gudhi", None)
    for loss in LOSSES[-2:]:
        with pytest.raises(ConfigError) as error:
            build(loss, 2)
        assert 'pip install "im2im-fcn[topology]"' in str(error.value)


def test_declarations_load_nothing_heavy() -> None:
    code = (
        "import sys, im2im_fcn.losses.declarations; print([m for m in ('torch', 'monai', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=None)
    assert run.stdout.strip() == "[]"
