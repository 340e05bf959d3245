"""Losses on images and on regions against other implementations and by their properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from monai.losses import GeneralizedDiceFocalLoss as MonaiLoss
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from torch import Tensor

from im2im_core import ConfigError
from im2im_core.builtin.composite_loss import warmup_factor
from im2im_fcn.losses.boundary import BoundaryLoss, signed_distance
from im2im_fcn.losses.config import (
    BoundaryConfig,
    GeneralizedDiceFocalConfig,
    MsSsimConfig,
    PearsonConfig,
    TverskyConfig,
)
from im2im_fcn.losses.elbo import kl_divergence
from im2im_fcn.losses.ms_ssim import MsSsimLoss, ms_ssim_map, smooth
from im2im_fcn.losses.pearson import PearsonLoss
from im2im_fcn.losses.regions import GeneralizedDiceFocalLoss, TverskyLoss
from im2im_fcn.losses.targets import as_classes


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.manual_seed(seed))


def picture(dims: int) -> Tensor:
    shape = (24, 40, 44)[-dims:]
    return torch.from_numpy(gaussian_filter(np.random.default_rng(dims).random(shape), 2).astype(np.float32))[
        None, None
    ]


@pytest.mark.parametrize("dims", [2, 3])
def test_generalized_dice_focal_is_that_of_monai(dims: int) -> None:
    prediction = 4 * noise(2, 3, *(8, 20, 24)[-dims:]) - 2
    target = torch.randint(0, 3, (2, 1, *prediction.shape[2:]), generator=torch.manual_seed(1))
    weights = (0.3, 1.0, 2.0)
    expected = MonaiLoss(softmax=True, to_onehot_y=True, weight=weights)(prediction, target)
    loss = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(class_weights=weights))
    torch.testing.assert_close(loss(prediction, target), expected)
    no_background = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(include_background=False))
    expected = MonaiLoss(softmax=True, to_onehot_y=True, include_background=False)(prediction, target)
    torch.testing.assert_close(no_background(prediction, target), expected)
    every = torch.ones(prediction.shape)
    torch.testing.assert_close(no_background(prediction, target, every), expected)


def test_class_weights_of_one_output_and_of_too_few_classes() -> None:
    prediction, target = noise(1, 1, 16, 16) - 0.5, (noise(1, 1, 16, 16, seed=1) > 0.8).float()
    plain = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(dice_weight=0))(prediction, target)
    double = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(dice_weight=0, class_weights=(2, 2)))
    torch.testing.assert_close(double(prediction, target), 2 * plain)
    misses = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(dice_weight=0, class_weights=(0, 1)))
    assert float(misses(torch.full_like(prediction, 30), target)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ConfigError, match="'2' weights for 3 classes"):
        double(noise(1, 3, 16, 16), target)


def test_focal_part_in_which_classes_compete_knows_no_offset() -> None:
    prediction = noise(1, 3, 16, 16)
    target = torch.randint(0, 3, (1, 1, 16, 16), generator=torch.manual_seed(1))
    for softmax in (False, True):
        loss = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(focal_softmax=softmax))
        assert torch.isclose(loss(prediction, target), loss(prediction + 3, target)) == softmax


def test_tversky_is_dice_at_equal_weights_and_else_punishes_misses() -> None:
    prediction, target = 4 * noise(2, 1, 16, 16) - 2, (noise(2, 1, 16, 16, seed=1) > 0.7).float()
    equal = TverskyLoss(TverskyConfig(false_positives=0.5, false_negatives=0.5))
    expected = DiceLoss(sigmoid=True)(prediction, target)
    torch.testing.assert_close(equal(prediction, target), expected, rtol=1e-4, atol=1e-5)
    half = torch.zeros(1, 1, 8, 8)
    half[..., :4] = 1
    more, less = half.clone(), half.clone()
    more[..., 4], less[..., 3] = 1, 0
    loss = TverskyLoss(TverskyConfig())
    assert loss(60 * less - 30, half) > loss(60 * more - 30, half)


@pytest.mark.parametrize("dims", [2, 3])
def test_pearson(dims: int) -> None:
    target = noise(2, 2, *(6, 16, 20)[-dims:])
    prediction = target + noise(*target.shape, seed=1)
    loss = PearsonLoss(PearsonConfig())
    pairs = zip(prediction.flatten(0, 1).numpy(), target.flatten(0, 1).numpy(), strict=True)
    expected = 1 - np.mean([np.corrcoef(p.ravel(), t.ravel())[0, 1] for p, t in pairs])
    assert float(loss(prediction, target)) == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(loss(3 * prediction + 7, target), loss(prediction, target), rtol=0, atol=1e-4)
    costmap = torch.randint(0, 3, target[:, :1].shape, generator=torch.manual_seed(2)).float()
    repeated = [
        np.corrcoef(
            *(x[b, c].numpy().ravel().repeat(costmap[b, 0].int().numpy().ravel()) for x in (prediction, target))
        )
        for b in range(2)
        for c in range(2)
    ]
    expected = 1 - np.mean([r[0, 1] for r in repeated])
    assert float(loss(prediction, target, costmap)) == pytest.approx(expected, abs=1e-5)


def test_pearson_of_constant_images_has_finite_gradients() -> None:
    prediction = torch.ones(1, 1, 8, 8, requires_grad=True)
    for target in (torch.ones(1, 1, 8, 8), noise(1, 1, 8, 8)):
        (gradient,) = torch.autograd.grad(PearsonLoss(PearsonConfig())(prediction, target), prediction)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dims", [2, 3])
def test_one_scale_of_ms_ssim_is_ssim(dims: int) -> None:
    target = picture(dims)
    prediction = target + 0.1 * noise(*target.shape)
    found = ms_ssim_map(prediction, target, (1.5,))[0, 0].numpy()
    _, expected = structural_similarity(
        prediction[0, 0].numpy(),
        target[0, 0].numpy(),
        data_range=1,
        gaussian_weights=True,
        use_sample_covariance=False,
        sigma=1.5,
        full=True,
    )
    inside = (slice(6, -6),) * dims
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_smoothing_is_a_gaussian_filter_that_keeps_constants(dims: int) -> None:
    image = picture(dims)
    found = smooth(image, 1.5)[0, 0].numpy()
    inside = (slice(5, -5),) * dims
    expected = gaussian_filter(image[0, 0].numpy(), 1.5, truncate=3.2)
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)
    torch.testing.assert_close(smooth(torch.ones_like(image), 8.0), torch.ones_like(image))


def test_ms_ssim_of_equal_images_is_0_and_grows_with_noise() -> None:
    target, loss = picture(2), MsSsimLoss(MsSsimConfig())
    values = [float(loss(target + level * noise(*target.shape), target)) for level in (0.0, 0.05, 0.2, 0.5)]
    assert values[0] == pytest.approx(0, abs=1e-5)
    assert values == sorted(values) and values[-1] > 0.3
    only_l1 = MsSsimLoss(MsSsimConfig(ssim_weight=0))
    assert float(only_l1(target + 0.25, target)) == pytest.approx(0.25, abs=1e-5)


@pytest.mark.parametrize(("dims", "pixel"), [(2, None), (2, (2.0, 1.0)), (3, None), (3, (3.0, 1.0, 1.0))])
def test_signed_distance(dims: int, pixel: tuple[float, ...] | None) -> None:
    mask = np.zeros((9, 20, 20)[-dims:])
    mask[(..., slice(4, 9))] = 1
    distance = signed_distance(mask, pixel)
    line = distance[(*[4] * (dims - 1),)]
    np.testing.assert_array_equal(line[:12], [4, 3, 2, 1, 0, -1, -2, -1, 0, 1, 2, 3])
    assert not signed_distance(np.zeros((4, 4))).any() and not signed_distance(np.ones((4, 4))).any()


def test_boundary_loss_grows_with_distance_and_checks_its_axes() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 12:20, 4:12] = 1
    values = [
        float(BoundaryLoss(BoundaryConfig(), 2)(60 * target.roll(shift, 3) - 30, target)) for shift in (0, 2, 6, 12)
    ]
    assert values == sorted(values) and values[0] < 0 < values[-1]
    with pytest.raises(ConfigError, match="'2' numbers for 3 axes"):
        BoundaryLoss(BoundaryConfig(pixel_size=(1, 1)), 3)


def test_kl_divergence_is_that_of_torch() -> None:
    values = [noise(3, 4, seed=seed) - 0.5 for seed in range(4)]
    normal: Any = torch.distributions.Normal
    prior, posterior = (normal(mean, (logvar / 2).exp()) for mean, logvar in (values[:2], values[2:]))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(kl_divergence(*values), expected)
    assert kl_divergence(*values[:2], *values[:2]) == 0


def test_warmup() -> None:
    assert [warmup_factor(epoch, 4) for epoch in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    cosine = [warmup_factor(epoch, 4, "cosine") for epoch in (0, 2, 4, 9)]
    np.testing.assert_allclose(cosine, [0, 0.5, 1, 1])
    assert warmup_factor(0, 0) == warmup_factor(3, 0, "cosine") == 1


def test_one_logit_becomes_two_classes() -> None:
    logits, classes = as_classes(torch.full((1, 1, 4, 4), 1.5), torch.full((1, 1, 4, 4), 7))
    torch.testing.assert_close(logits.softmax(1)[:, 1:], torch.full((1, 1, 4, 4), 1.5).sigmoid())
    assert (classes == 1).all()
    half, fewer = as_classes(noise(1, 3, 8, 10), torch.ones(1, 1, 8, 10), scale=0.5)
    assert half.shape == (1, 3, 4, 5) and fewer.shape == (1, 4, 5)
