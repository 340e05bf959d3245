"""The losses that ship with the core."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from im2im_core.builtin.data_declarations import LOSSES
from im2im_core.errors import ConfigError, DataError

# A sum of losses has tests of its own.
DECLARED = {declaration.name: declaration for declaration in LOSSES if not declaration.composite}
IMAGE = ("mse", "l1", "huber", "ssim")
CLASSES = ("cross-entropy", "bce", "dice", "generalized-dice", "dice-focal")


def build(name, spatial_dims=2, **settings):
    config = DECLARED[name].config(**settings)
    return (
        DECLARED[name].factory(config, spatial_dims=spatial_dims) if name == "ssim" else DECLARED[name].factory(config)
    )


def tensor(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def case(name, dims=2, classes=3):
    shape = (12, 14, 16)[-dims:]
    if name in IMAGE:
        return tensor(2, 2, *shape), tensor(2, 2, *shape, seed=1)
    channels = 1 if name == "bce" else classes
    target = torch.from_numpy(np.random.default_rng(1).integers(0, 2 if name == "bce" else classes, (2, 1, *shape)))
    return tensor(2, channels, *shape), target.int()


def half(shape, value=0.0):
    costmap = torch.ones(shape[0], 1, *shape[2:])
    costmap[..., : shape[-1] // 2] = value
    return costmap


def test_all_are_declared():
    assert set(DECLARED) == {*IMAGE, *CLASSES}
    for declaration in LOSSES:
        assert all(field.description for field in declaration.config.model_fields.values())


@pytest.mark.parametrize("name", DECLARED)
@pytest.mark.parametrize("dims", [2, 3])
def test_scalar_with_a_gradient_that_helps(name, dims):
    loss = build(name, dims)
    prediction, target = case(name, dims)
    prediction.requires_grad_(True)
    before = loss(prediction, target)
    before.backward()
    assert before.shape == ()
    assert torch.isfinite(before)
    with torch.no_grad():
        after = loss(prediction - prediction.grad / prediction.grad.norm(), target)
    assert after < before


@pytest.mark.parametrize("name", DECLARED)
def test_a_costmap_of_ones_changes_nothing(name):
    prediction, target = case(name)
    loss = build(name)
    assert loss(prediction, target, torch.ones(2, 1, 14, 16)) == pytest.approx(
        float(loss(prediction, target)), rel=1e-5
    )


@pytest.mark.parametrize("name", DECLARED)
def test_pixels_of_cost_zero_have_no_influence_and_no_gradient(name):
    prediction, target = case(name)
    costmap = half(prediction.shape)
    changed = prediction.clone()
    changed[..., :8] += 5.0
    prediction.requires_grad_(True)
    value = build(name)(prediction, target, costmap)
    value.backward()
    assert (prediction.grad[..., :8] == 0).all()
    assert (prediction.grad[..., 8:] != 0).any()
    assert build(name)(changed, target, costmap) == pytest.approx(value.item(), rel=1e-5)


@pytest.mark.parametrize("name", DECLARED)
def test_nothing_counts(name):
    prediction, target = case(name)
    prediction.requires_grad_(True)
    value = build(name)(prediction, target, torch.zeros(2, 1, 14, 16))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(prediction.grad).all()
    assert (prediction.grad == 0).all()


@pytest.mark.parametrize("name", ["mse", "l1", "huber"])
def test_a_pixel_of_cost_two_counts_twice(name):
    prediction, target = case(name)
    loss = build(name)
    left, right = (loss(prediction[..., part], target[..., part]) for part in (slice(0, 8), slice(8, 16)))
    assert loss(prediction, target, half(prediction.shape, 2.0)) == pytest.approx(
        float((2 * left + right) / 3), rel=1e-5
    )


def test_values_are_torchs_own():
    prediction, target = tensor(2, 2, 8, 8), tensor(2, 2, 8, 8, seed=1)
    assert torch.allclose(build("mse")(prediction, target), F.mse_loss(prediction, target))
    assert torch.allclose(build("l1")(prediction, target), F.l1_loss(prediction, target))
    assert torch.allclose(build("huber", delta=0.3)(prediction, target), F.huber_loss(prediction, target, delta=0.3))
    logits, classes = case("cross-entropy")
    weights = (0.2, 1.0, 3.0)
    expected = F.cross_entropy(logits, classes[:, 0].long(), weight=torch.tensor(weights), label_smoothing=0.1)
    assert torch.allclose(build("cross-entropy", class_weights=weights, label_smoothing=0.1)(logits, classes), expected)
    logits, masks = case("bce")
    expected = F.binary_cross_entropy_with_logits(logits, masks.float(), pos_weight=torch.tensor(2.0))
    assert torch.allclose(build("bce", positive_weight=2.0)(logits, masks), expected)


@pytest.mark.parametrize("ignored", [255, -100, 1])
@pytest.mark.parametrize("settings", [{}, {"class_weights": (0.2, 1.0, 3.0)}, {"label_smoothing": 0.1}])
def test_ignored_pixels_as_torch_has_them(ignored, settings):
    logits, classes = case("cross-entropy")
    classes[:, :, 3:7] = ignored
    weights = torch.tensor(settings["class_weights"]) if "class_weights" in settings else None
    smoothing = settings.get("label_smoothing", 0.0)
    expected = F.cross_entropy(
        logits, classes[:, 0].long(), weight=weights, ignore_index=ignored, label_smoothing=smoothing
    )
    found = build("cross-entropy", ignore_index=ignored, **settings)(logits, classes)
    assert torch.allclose(found, expected)
    assert not torch.allclose(found, F.cross_entropy(logits, classes[:, 0].long().clamp(0, 2), weight=weights))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_ignored_number_does_what_a_cost_map_of_zero_does(channels):
    logits, classes = case("cross-entropy", classes=channels)
    logits.requires_grad_(True)
    ignoring, plain = build("cross-entropy", ignore_index=255), build("cross-entropy")
    marked = classes.clone()
    marked[..., :8] = 255
    costmap = half(logits.shape)
    assert torch.allclose(ignoring(logits, marked), plain(logits, classes, costmap))
    # Both at once: rows by the cost map, columns by the number.
    rows = torch.ones_like(costmap)
    rows[:, :, :5] = 0
    both = ignoring(logits, marked, rows)
    assert torch.allclose(both, plain(logits, classes, costmap * rows))
    both.backward()
    assert not logits.grad[..., :8].any()
    assert not logits.grad[:, :, :5].any()
    assert logits.grad[..., 5:, 8:].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_all_pixels_ignored(channels):
    logits = tensor(2, channels, 8, 8).requires_grad_(True)
    value = build("cross-entropy", ignore_index=255, class_weights=(1.0,) * max(channels, 2))(
        logits, torch.full((2, 1, 8, 8), 255)
    )
    value.backward()
    assert float(value.detach()) == 0
    assert not logits.grad.any()


def test_an_ignored_class_of_masks():
    logits, classes = case("cross-entropy")
    masks = F.one_hot(classes[:, 0].long(), 3).movedim(-1, 1)
    loss = build("cross-entropy", ignore_index=1)
    assert torch.allclose(loss(logits, masks), loss(logits, classes))
    assert not torch.allclose(loss(logits, masks), build("cross-entropy")(logits, masks))


def test_one_output_is_the_binary_cross_entropy():
    logits, classes = case("bce")
    expected = F.binary_cross_entropy_with_logits(logits, classes.float())
    assert torch.allclose(build("cross-entropy")(logits, classes), expected)
    pixels = F.binary_cross_entropy_with_logits(logits, classes.float(), reduction="none")
    weights = torch.where(classes > 0, 3.0, 0.5)
    expected = (pixels * weights).sum() / weights.sum()
    assert torch.allclose(build("cross-entropy", class_weights=(0.5, 3.0))(logits, classes), expected)


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(0)
    target = rng.random((48, 40))
    prediction = target + rng.normal(0, 0.1, target.shape)
    _, full = metrics.structural_similarity(
        prediction, target, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    expected = 1 - full[5:-5, 5:-5].mean()
    found = build("ssim")(torch.from_numpy(prediction)[None, None], torch.from_numpy(target)[None, None])
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_ssim_averages_over_the_pixels_that_count():
    target, prediction = torch.rand(1, 1, 48, 40), torch.rand(1, 1, 48, 40)
    prediction[..., 20:] = target[..., 20:]
    costmap = half(target.shape)
    assert build("ssim")(prediction, target) > 0.3
    assert build("ssim")(prediction, target, costmap) == pytest.approx(0, abs=1e-5)
    assert build("ssim")(prediction, target, 1 - costmap) > 0.5


def test_ssim_of_a_thin_stack():
    target = tensor(1, 1, 4, 20, 20)
    assert float(build("ssim", 3)(target, target)) == pytest.approx(0, abs=1e-6)
    assert build("ssim", 3)(target + 1, target) > 0.01


def test_dice_of_perfect_and_of_wrong_predictions():
    _, target = case("dice")
    right = F.one_hot(target[:, 0].long(), 3).movedim(-1, 1).float() * 40 - 20
    for name in ("dice", "generalized-dice", "dice-focal"):
        assert float(build(name)(right, target)) == pytest.approx(0, abs=1e-3)
        assert build(name)(-right, target) > 0.5


def test_dice_of_one_output_takes_any_label_as_foreground():
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.int32)
    labels[..., 2:6, 2:6] = 9
    logits = (labels > 0).float() * 40 - 20
    assert float(build("dice", include_background=False)(logits, labels)) == pytest.approx(0, abs=1e-3)
    assert float(build("cross-entropy")(logits, labels)) == pytest.approx(0, abs=1e-6)


def test_dice_without_background():
    logits, target = case("dice")
    softmax = logits.softmax(1)
    masks = F.one_hot(target[:, 0].long(), 3).movedim(-1, 1).float()
    overlap = 2 * (softmax * masks).sum((2, 3)) / (softmax + masks).sum((2, 3))
    assert float(build("dice")(logits, target)) == pytest.approx(float(1 - overlap.mean()), abs=1e-4)
    expected = float(1 - overlap[:, 1:].mean())
    assert float(build("dice", include_background=False)(logits, target)) == pytest.approx(expected, abs=1e-4)


def test_masks_for_each_class():
    logits, target = case("cross-entropy")
    masks = F.one_hot(target[:, 0].long(), 3).movedim(-1, 1)
    assert torch.equal(build("cross-entropy")(logits, masks), build("cross-entropy")(logits, target))
    assert build("dice")(logits, masks) != build("dice")(logits, target)  # independent masks, not exclusive classes


@pytest.mark.parametrize("name", IMAGE)
def test_shapes_that_would_broadcast_are_refused(name):
    with pytest.raises(DataError, match=r"prediction has shape '\(2, 3, 16, 16\)', the target '\(2, 1, 16, 16\)'"):
        build(name)(tensor(2, 3, 16, 16), tensor(2, 1, 16, 16))


@pytest.mark.parametrize("name", ["cross-entropy", "dice", "generalized-dice", "dice-focal"])
def test_a_class_that_the_model_does_not_have(name):
    target = torch.full((1, 1, 8, 8), 5)
    with pytest.raises(DataError, match=r"class '5' .* 3 outputs") as caught:
        build(name)(tensor(1, 3, 8, 8), target)
    assert caught.value.hint


def test_wrong_settings():
    with pytest.raises(ConfigError, match="class_weights: 2 weights for 3 classes"):
        build("cross-entropy", class_weights=(1.0, 2.0))(*case("cross-entropy"))
    with pytest.raises(ConfigError, match="class_weights: 3 weights for 2 classes"):
        build("cross-entropy", class_weights=(1.0, 2.0, 3.0))(*case("bce"))
    with pytest.raises(ConfigError, match="odd number"):
        build("ssim", window=4)


def test_losses_of_infinite_but_uncounted_pixels():
    prediction, target = tensor(1, 1, 8, 8), tensor(1, 1, 8, 8, seed=1)
    target[..., :4] = float("inf")
    prediction.requires_grad_(True)
    value = build("l1")(prediction, target, half(prediction.shape))
    value.backward()
    assert torch.isfinite(value)
