"""Targets by ray marching against loops, and the loss that is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from im2im_core.demo_images import make_nuclei
from im2im_stars.loss import StarLoss
from im2im_stars.polygons import directions
from im2im_stars.targets import star_targets


def by_loops(labels: np.ndarray, rays: int) -> tuple[np.ndarray, np.ndarray]:
    """Each pixel and ray by itself."""
    height, width = labels.shape
    distances, nearest = np.zeros((rays, height, width)), np.zeros((height, width))
    for y, x in np.argwhere(labels > 0):
        for ray, (dy, dx) in enumerate(directions(rays)):
            length = 0
            while True:
                length += 1
                v, u = y + round(length * dy), x + round(length * dx)
                if not (0 <= v < height and 0 <= u < width) or labels[v, u] != labels[y, x]:
                    break
            distances[ray, y, x] = length - 0.5
        nearest[y, x] = distances[:, y, x].min()
    for label in np.unique(labels[labels > 0]):
        nearest[labels == label] /= nearest[labels == label].max()
    return nearest, distances


def disc(shape: tuple[int, int], center: tuple[int, int], radius: float) -> np.ndarray:
    y, x = np.indices(shape)
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 <= radius**2


@pytest.mark.parametrize("rays", [8, 32])
def test_loops_give_the_same(rays: int) -> None:
    rng = np.random.default_rng(0)
    images = np.stack([make_nuclei(rng, (48, 56), density=30)[1] for _ in range(2)])
    images[1, :9, :9] = 7  # in a corner
    assert all(image.max() > 2 for image in images)
    probability, distances = star_targets(torch.from_numpy(images.astype(np.int32))[:, None], rays)
    assert distances.shape == (2, rays, 48, 56)
    for index, image in enumerate(images):
        expected = by_loops(image, rays)
        np.testing.assert_allclose(probability[index, 0], expected[0], rtol=1e-6)
        np.testing.assert_array_equal(distances[index], expected[1])


def test_a_disc_has_one_radius_and_its_middle_is_likeliest() -> None:
    labels = disc((64, 64), (30, 33), 15.5)
    probability, distances = star_targets(torch.from_numpy(labels.astype(np.float32))[None, None], 32)
    np.testing.assert_allclose(distances[0, :, 30, 33], 15.5, atol=1)
    assert probability[0, 0, 30, 33] == probability.max() == 1
    assert (probability[0, 0].numpy()[~labels] == 0).all()
    assert (distances[0].numpy()[:, ~labels] == 0).all()


def test_neighbours_and_the_border_of_the_patch_end_an_object() -> None:
    labels = torch.zeros(1, 1, 6, 12)
    labels[..., :6], labels[..., 6:9] = 1, 2
    _, distances = star_targets(labels, 8)
    assert distances[0, :, 2, 4].tolist()[::2] == [1.5, 3.5, 4.5, 2.5]  # X, Y, and backwards
    assert distances[0, 0, 2, 6] == 2.5


def test_nothing_in_a_patch() -> None:
    probability, distances = star_targets(torch.zeros(2, 1, 5, 7, dtype=torch.uint8), 8)
    assert probability.shape == (2, 1, 5, 7) and not probability.any() and not distances.any()


def made(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of labels, and a random prediction of it."""
    torch.manual_seed(seed)
    labels = np.stack([disc((24, 24), (12, 8), 6) + 2 * disc((24, 24), (12, 19), 4) for _ in range(2)])
    target = torch.from_numpy(labels.astype(np.int32))[:, None]
    return target, torch.cat([torch.randn(2, 1, 24, 24), 5 * torch.rand(2, 8, 24, 24)], dim=1)


def test_loss_of_the_paper() -> None:
    target, prediction = made()
    probability, distances = star_targets(target, 8)
    guess = torch.sigmoid(prediction[:, :1])
    entropy = -(probability * guess.log() + (1 - probability) * (1 - guess).log()).mean()
    error = (prediction[:, 1:] - distances).abs().mean(1, keepdim=True)
    background = ((target == 0) * prediction[:, 1:].abs().mean(1, keepdim=True)).mean()
    expected = entropy + 0.3 * ((probability * error).mean() + 0.01 * background)
    torch.testing.assert_close(StarLoss(0.3, 0.01)(prediction, target), expected)


def test_loss_is_least_at_the_target_and_learns_nothing_where_the_cost_map_is_0() -> None:
    target, prediction = made()
    loss = StarLoss(0.2, 1e-4)
    probability, distances = star_targets(target, 8)
    perfect = torch.cat([torch.logit(probability, eps=1e-6), distances], dim=1)
    assert loss(perfect, target) < loss(perfect + 0.5, target) < loss(prediction, target)
    costmap = torch.ones(2, 1, 24, 24)
    torch.testing.assert_close(loss(prediction, target, costmap=costmap), loss(prediction, target))
    costmap[..., 12:] = 0
    prediction.requires_grad_()
    loss(prediction, target, costmap=costmap).backward()
    assert prediction.grad is not None
    assert prediction.grad[..., :12].any() and not prediction.grad[..., 12:].any()
    assert loss(prediction, target, costmap=torch.zeros_like(costmap)) == 0


def test_loss_refuses_what_does_not_fit() -> None:
    target, prediction = made()
    with pytest.raises(ValueError, match="target has shape"):
        StarLoss(0.2, 1e-4)(prediction, target[..., 1:])
