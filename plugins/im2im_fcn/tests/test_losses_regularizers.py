"""What the regularizers measure, and where they depart from the published tool on purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from test_losses_golden import mixed_edges, scrambled_diagrams

from im2im_core import ConfigError, DataError
from im2im_fcn.losses import connectivity
from im2im_fcn.losses.connectivity import ConnectivityCoherenceLoss
from im2im_fcn.losses.fractal import FractalDimensionLoss, box_values, fractal_dimension
from im2im_fcn.losses.hausdorff import HausdorffLoss, exact_distance, iterated_distance, quantile
from im2im_fcn.losses.persistence import persistence_diagrams
from im2im_fcn.losses.persistent_homology import PersistentHomologyLoss
from im2im_fcn.losses.regularizer_config import (
    ConnectivityConfig,
    FractalDimensionConfig,
    HausdorffConfig,
    PersistentHomologyConfig,
    TopologicalComplexityConfig,
    TopologicalInteractionConfig,
)
from im2im_fcn.losses.topological_complexity import TopologicalComplexityLoss
from im2im_fcn.losses.topological_interaction import TopologicalInteractionLoss, dilate


def logits_of(mask: Tensor, size: float = 8.0) -> Tensor:
    return size * (2 * mask - 1)


def ring() -> Tensor:
    """A ring in an image that is not square."""
    y, x = torch.meshgrid(torch.arange(24), torch.arange(36), indexing="ij")
    radius = ((y - 11.5) ** 2 + (x - 16.5) ** 2).sqrt()
    return ((radius > 5) & (radius < 9)).float()


def random_classes(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.manual_seed(0)
    return torch.randn(shape[0], 3, *shape[1:], generator=generator), torch.randint(
        0, 3, (shape[0], 1, *shape[1:]), generator=generator
    )


def test_topological_interaction_is_a_mean_where_the_published_sum_grows_with_the_image() -> None:
    prediction, target = random_classes(1, 16, 16)
    large, large_target = prediction.repeat(1, 1, 4, 4), target.repeat(1, 1, 4, 4)
    rule: dict[str, Any] = {"exclusion": ((1, 2),)}
    mean = TopologicalInteractionLoss(TopologicalInteractionConfig(**rule))
    total = TopologicalInteractionLoss(TopologicalInteractionConfig(**rule, reduction="sum"))
    assert float(mean(large, large_target)) == pytest.approx(float(mean(prediction, target)), rel=0.1)
    assert float(total(large, large_target)) > 14 * float(total(prediction, target))


def test_topological_interaction_heeds_thickness_across_faces_where_the_published_tool_ignores_it() -> None:
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 4, 4] = True
    assert [int(dilate(mask, False, steps).sum()) for steps in (1, 2)] == [5, 13]
    assert [int(dilate(mask, True, steps).sum()) for steps in (1, 2)] == [9, 25]
    volume = torch.zeros(1, 7, 7, 7, dtype=torch.bool)
    volume[0, 3, 3, 3] = True
    assert [int(dilate(volume, False, 1).sum()), int(dilate(volume, True, 1).sum())] == [7, 27]


def test_topological_interaction_finds_what_breaks_a_rule() -> None:
    classes = torch.zeros(1, 12, 12, dtype=torch.long)
    classes[0, 2:9, 2:9] = 2
    classes[0, 4:7, 4:7] = 1
    inside = TopologicalInteractionLoss(TopologicalInteractionConfig(inclusion=((1, 2),)))
    apart = TopologicalInteractionLoss(TopologicalInteractionConfig(exclusion=((1, 0),)))
    assert not inside.critical_pixels(classes).any() and not apart.critical_pixels(classes).any()
    classes[0, 4:7, 7:10] = 1
    broken = inside.critical_pixels(classes)
    assert torch.equal(broken, apart.critical_pixels(classes))
    assert broken[0, 5, 10] and broken[0, 5, 9] and not broken[0, 5, 5]


def test_topological_interaction_reports_missing_and_impossible_rules() -> None:
    with pytest.raises(ConfigError, match="no rule"):
        TopologicalInteractionLoss(TopologicalInteractionConfig())
    with pytest.raises(ConfigError, match="class '4'"):
        TopologicalInteractionLoss(TopologicalInteractionConfig(exclusion=((1, 4),)))(*random_classes(1, 8, 8))


@pytest.mark.parametrize("shape", [(1, 16, 20), (1, 6, 12, 14)])
def test_connectivity_gives_channels_their_own_edges_where_the_published_tool_mixes_them(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction, target = random_classes(*shape)
    loss = ConnectivityCoherenceLoss(ConnectivityConfig(density_weight=0))
    swapped = prediction[:, [0, 2, 1]], torch.tensor([0, 2, 1])[target]
    torch.testing.assert_close(loss(*swapped), loss(prediction, target))
    right = float(loss(prediction, target))
    monkeypatch.setattr(connectivity, "edge_maps", mixed_edges)
    assert float(loss(prediction, target)) != pytest.approx(right, rel=1e-3)
    assert float(loss(*swapped)) != pytest.approx(float(loss(prediction, target)), rel=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 20, 26), (2, 1, 6, 14, 18)])
def test_exact_distance_where_few_iterations_leave_far_pixels_at_height_plus_width(shape: tuple[int, ...]) -> None:
    mask = torch.zeros(shape)
    mask[..., 3:6, 2:5] = 1
    exact = exact_distance(mask)
    assert torch.equal(exact, iterated_distance(mask, 40))
    few = iterated_distance(mask, 3)
    assert torch.equal(few[exact <= 3], exact[exact <= 3])
    assert (few[exact > 3] == shape[-1] + shape[-2]).all()
    assert (exact_distance(torch.zeros(shape)) == shape[-1] + shape[-2]).all()


def test_quantile_is_that_of_torch() -> None:
    values = torch.rand(1001, generator=torch.manual_seed(0))
    for level in (0.5, 0.99, 0.123):
        torch.testing.assert_close(quantile(values, level), values.quantile(level))


def test_hausdorff_weighs_far_errors_more() -> None:
    target = torch.zeros(1, 1, 32, 40)
    target[..., 10:20, 4:14] = 1
    loss = HausdorffLoss(HausdorffConfig())
    near, far = target.clone(), target.clone()
    near[..., 12:15, 15:18], far[..., 12:15, 34:37] = 1, 1
    assert loss(logits_of(far), target) > 10 * loss(logits_of(near), target) > 0


@pytest.mark.parametrize("mode", ["boxes", "information"])
def test_dimension_of_simple_shapes(mode: Any) -> None:
    line, plane = torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    line[..., 20, :] = 1
    assert float(fractal_dimension(line, 4, mode)) == pytest.approx(1, abs=0.15)
    assert float(fractal_dimension(plane, 4, mode)) == pytest.approx(2, abs=0.05)
    assert float(fractal_dimension(torch.ones(1, 1, 16, 16, 16), 3, mode)) == pytest.approx(3, abs=0.1)


def test_empty_boxes_count_0_where_the_published_count_takes_background_for_a_plane() -> None:
    empty = torch.zeros(1, 1, 64, 64)
    assert float(fractal_dimension(empty, 4, "boxes")) == pytest.approx(0, abs=1e-5)
    assert float(fractal_dimension(empty, 4, "boxes-biased")) == pytest.approx(2, abs=1e-3)
    assert float(box_values(empty, [2], "boxes-biased")) == pytest.approx(1024 / (1 + np.exp(0.5)), rel=1e-4)


def test_information_dimension_has_a_gradient_where_the_published_entropy_is_clipped() -> None:
    foreground = torch.rand(1, 1, 64, 64, generator=torch.manual_seed(0)).requires_grad_()
    for mode, useful in (("information", True), ("mean-entropy", False)):
        value = fractal_dimension(foreground, 4, mode)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(value.sum(), foreground)
        assert bool(gradient.any()) == useful


def test_fractal_dimension_reports_small_images() -> None:
    with pytest.raises(DataError, match="too small"):
        FractalDimensionLoss(FractalDimensionConfig())(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))


def test_diagram_of_a_ring_where_the_published_tool_scrambles_images_that_are_not_square() -> None:
    pytest.importorskip("gudhi")
    image = 0.1 + 0.8 * ring()
    components, holes = persistence_diagrams(image, (0, 1))
    torch.testing.assert_close(components, torch.tensor([[0.9, 0.1]]))
    torch.testing.assert_close(holes, torch.tensor([[0.9, 0.1]]))
    scrambled, _ = scrambled_diagrams(image, (0, 1))
    assert len(scrambled) > 3


@pytest.mark.parametrize("shape", [(9, 14), (6, 7, 9)])
def test_diagrams_know_no_order_of_axes(shape: tuple[int, ...]) -> None:
    pytest.importorskip("gudhi")
    image = torch.rand(shape, generator=torch.manual_seed(0))
    dimensions = tuple(range(len(shape)))
    for one, other in zip(
        persistence_diagrams(image, dimensions), persistence_diagrams(image.movedim(0, -1), dimensions), strict=True
    ):
        assert sorted(one.tolist()) == sorted(other.tolist()) and len(one)


def test_cavities_count_where_the_published_tool_has_components_and_holes_only() -> None:
    pytest.importorskip("gudhi")
    axes = torch.meshgrid(*[torch.arange(9)] * 3, indexing="ij")
    radius = torch.stack([(axis - 4) ** 2 for axis in axes]).sum(0).sqrt()
    shell, ball = ((radius < 4) & (radius > 2)).float()[None, None], (radius < 4).float()[None, None]
    for losses in (
        [PersistentHomologyLoss(PersistentHomologyConfig(dimensions=d), 3) for d in ((0, 1), None)],
        [TopologicalComplexityLoss(TopologicalComplexityConfig(dimensions=d), 3) for d in ((0, 1), None)],
    ):
        without, every = (float(loss(logits_of(ball), shell)) for loss in losses)
        assert every > 10 * without
    with pytest.raises(ConfigError, match="'2' in images of 2 axes"):
        PersistentHomologyLoss(PersistentHomologyConfig(dimensions=(2,)), 2)


@pytest.mark.parametrize("name", ["homology", "complexity"])
def test_missing_object_and_missing_hole_cost(name: str) -> None:
    pytest.importorskip("gudhi")
    loss: nn.Module = PersistentHomologyLoss(PersistentHomologyConfig(), 2)
    if name == "complexity":
        loss = TopologicalComplexityLoss(TopologicalComplexityConfig(), 2)
    target = ring()[None, None]
    filled = target.clone()
    filled[..., 4:20, 9:25] = torch.where(target[..., 4:20, 9:25] > 0, 1.0, 0.0)
    filled[..., 8:16, 13:21] = 1
    right = float(loss(logits_of(target), target))
    for wrong in (torch.zeros_like(target), filled):
        assert float(loss(logits_of(wrong), target)) > 20 * right + 1e-3


def test_fixed_width_forgives_faint_noise_where_separate_widths_do_not() -> None:
    pytest.importorskip("gudhi")
    target = torch.zeros(1, 1, 48, 48)
    for y in range(4, 44, 10):
        for x in range(4, 44, 10):
            target[..., y : y + 5, x : x + 5] = 1
    noise = 1.2 * torch.randn(target.shape, generator=torch.manual_seed(0))
    values = {}
    for width in ("fixed", "shared", "separate"):
        loss = PersistentHomologyLoss(PersistentHomologyConfig(width=width, dimensions=(0,)), 2)  # type: ignore[arg-type]
        scale = float(loss(logits_of(torch.zeros_like(target)), target))
        values[width] = float(loss(logits_of(target, 4.0) + noise, target)) / scale
    assert values["fixed"] < 0.5 * values["separate"]


def test_harmonic_mean_forgives_everything_once_one_dimension_agrees() -> None:
    pytest.importorskip("gudhi")
    target = ring()[None, None]
    # Two solid objects: no hole in either, one object too many.
    one, two = torch.zeros_like(target), torch.zeros_like(target)
    one[..., 4:10, 4:10] = 1
    two[..., 4:10, 4:10], two[..., 14:20, 20:30] = 1, 1
    sums, harmonic = (
        float(TopologicalComplexityLoss(TopologicalComplexityConfig(balance=balance), 2)(logits_of(two), one))
        for balance in (False, True)
    )
    assert sums > 0.1 and harmonic == 0


def test_lists_of_lifetimes_do_not_depend_on_their_limit_unless_padded() -> None:
    pytest.importorskip("gudhi")
    prediction, target = random_classes(1, 16, 20)
    for padded in (False, True):
        few, many = (
            float(
                TopologicalComplexityLoss(TopologicalComplexityConfig(padded=padded, most=most), 2)(prediction, target)
            )
            for most in (500, 2000)
        )
        assert (few == pytest.approx(many)) != padded


def test_faint_prediction_costs_unless_lifetimes_are_normalized() -> None:
    pytest.importorskip("gudhi")
    target = ring()[None, None]
    faint = torch.logit(0.1 + 0.2 * target)
    plain, normalized = (
        float(TopologicalComplexityLoss(TopologicalComplexityConfig(normalize=normalize), 2)(faint, target))
        for normalize in (False, True)
    )
    assert plain > 0.1 and normalized == pytest.approx(0, abs=1e-6)
