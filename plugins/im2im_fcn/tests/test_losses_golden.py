"""Regularizers and combined losses against stored computations of a published tool, bugs of that tool included."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
import golden_losses as stored

from im2im_core.builtin.composite_loss import warmup_factor
from im2im_fcn.losses import connectivity, persistent_homology, topological_complexity
from im2im_fcn.losses.config import GeneralizedDiceFocalConfig
from im2im_fcn.losses.connectivity import ConnectivityCoherenceLoss
from im2im_fcn.losses.elbo import kl_divergence
from im2im_fcn.losses.fractal import FractalDimensionLoss, binarize, box_values, fractal_dimension
from im2im_fcn.losses.hausdorff import HausdorffLoss, iterated_distance
from im2im_fcn.losses.persistent_homology import PersistentHomologyLoss
from im2im_fcn.losses.regions import GeneralizedDiceFocalLoss
from im2im_fcn.losses.regularizer_config import (
    ConnectivityConfig,
    FractalDimensionConfig,
    HausdorffConfig,
    PersistentHomologyConfig,
    TopologicalComplexityConfig,
    TopologicalInteractionConfig,
)
from im2im_fcn.losses.topological_complexity import TopologicalComplexityLoss
from im2im_fcn.losses.topological_interaction import TopologicalInteractionLoss

Loss = Callable[[Tensor, Tensor], Tensor]


def mixed_edges(images: Tensor) -> list[Tensor]:
    """Sobel images as the published tool makes them: filters listed axis by axis go to channels in that order."""
    channels, kernels = images.shape[1], connectivity.sobel_kernels(images.dim() - 2)
    weight = torch.stack([kernel for kernel in kernels for _ in range(channels)])[:, None]
    convolve = F.conv2d if images.dim() == 4 else F.conv3d
    return list(convolve(images, weight, padding=1, groups=channels).chunk(len(kernels), 1))


def scrambled_diagrams(image: Tensor, dimensions: tuple[int, ...]) -> list[Tensor]:
    """Diagrams as the published tool makes them: a flat image, which GUDHI reads with the first axis fastest."""
    gudhi = pytest.importorskip("gudhi")
    values = -image.detach().numpy().astype(float).ravel()
    cells = gudhi.CubicalComplex(dimensions=list(image.shape), top_dimensional_cells=values)
    cells.compute_persistence()
    regular, endless = cells.cofaces_of_persistence_pairs()
    diagrams = []
    for dimension in dimensions:
        pairs = np.asarray(regular[dimension] if dimension < len(regular) else (), np.int64).reshape(-1, 2)
        if dimension == 0:
            last = [(birth, values.argmax()) for birth in endless[0]]
            pairs = np.concatenate([pairs, np.array(last, np.int64).reshape(-1, 2)])
        diagrams.append(image.reshape(-1)[torch.from_numpy(pairs.reshape(-1))].view(-1, 2))
    return diagrams


@pytest.fixture
def published_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "edge_maps", mixed_edges)
    for module in (persistent_homology, topological_complexity):
        monkeypatch.setattr(module, "persistence_diagrams", scrambled_diagrams)


def regularizer(group: str, params: dict[str, Any], dims: int) -> Loss:
    """Built from the parameters of a stored computation."""
    if group == "topological_interaction":
        return TopologicalInteractionLoss(TopologicalInteractionConfig(**stored.topological_interaction(params)))
    if group == "connectivity_coherence":
        return ConnectivityCoherenceLoss(ConnectivityConfig(**stored.connectivity(params)))
    if group == "hausdorff":
        return HausdorffLoss(HausdorffConfig(**stored.hausdorff(params)))
    pytest.importorskip("gudhi")
    if group == "homology":
        return PersistentHomologyLoss(PersistentHomologyConfig(**stored.homology(params)), dims)
    return TopologicalComplexityLoss(TopologicalComplexityConfig(**stored.complexity(params)), dims)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "group", ["topological_interaction", "connectivity_coherence", "hausdorff", "homology", "topological_complexity"]
)
def test_golden(group: str, dims: int, published_bugs: None) -> None:
    arrays, params = stored.golden(f"{group}_{dims}d")
    for name, settings in params.items():
        key = name if f"value_{name}" in arrays else f"{name}_c{settings['classes']}"
        stored.compare(arrays, key, regularizer(group, settings, dims), settings["classes"])


@pytest.mark.parametrize("dims", [2, 3])
def test_golden_fractal_dimension(dims: int) -> None:
    arrays, params = stored.golden(f"fractal_dimension_{dims}d")
    modes: dict[str, Any] = {"classic": "boxes-biased", "entropy": "mean-entropy"}
    for name, settings in params.items():
        mode, scales = modes[settings["mode"]], settings["num_kernels"]
        logits = arrays["logits_c2"].clone().requires_grad_()
        found = 1 - logits.softmax(1)[:, :1]
        if name.startswith("counts"):
            value = box_values(found, [2**i for i in range(1, scales + 1)], mode)
        else:
            value = fractal_dimension(binarize(found) if settings["to_binary"] else found, scales, mode)
        expected = arrays[f"grad_{name}"]
        torch.testing.assert_close(value.detach(), arrays[f"value_{name}"], rtol=1e-4, atol=1e-6)
        value.sum().backward()
        torch.testing.assert_close(logits.grad, expected, rtol=0, atol=max(3e-4 * float(expected.abs().max()), 1e-9))


def test_golden_hausdorff_distance_map() -> None:
    arrays, _ = stored.golden("hausdorff_distance_map_2d")
    for iterations in (4, 30):
        distance = iterated_distance(arrays["mask"].float(), iterations)
        assert torch.equal(distance, arrays[f"dist_it{iterations}"])


def added_regularizers(params: dict[str, Any], dims: int) -> list[tuple[float, Loss]]:
    """Weights and losses of a combined computation, at the defaults that the published tool gives them there."""
    half: dict[str, Any] = {"scale": 0.5}
    terms: list[tuple[float, Loss]] = []
    if params.get("use_fractal_regularization"):
        config = FractalDimensionConfig(mode="boxes-biased", scales=params["fractal_num_kernels"])
        terms.append((0.1, FractalDimensionLoss(config)))
    if params.get("use_topological_regularization"):
        rules = TopologicalInteractionConfig(inclusion=params["topological_inclusion"], reduction="sum")
        terms.append((params["topological_weight"], TopologicalInteractionLoss(rules)))
    if params.get("use_connectivity_regularization"):
        terms.append((0.1, ConnectivityCoherenceLoss(ConnectivityConfig(edge_weight=0.2))))
    if params.get("use_hausdorff_regularization"):
        terms.append((0.1, HausdorffLoss(HausdorffConfig(**stored.hausdorff({}), **half))))
    if params.get("use_homology_regularization"):
        settings = stored.homology({"resolution": [30, 30]}) | half
        terms.append((0.1, PersistentHomologyLoss(PersistentHomologyConfig(**settings), dims)))
    if params.get("use_topological_complexity"):
        settings = stored.complexity({"metric": "mse"}) | half
        terms.append((0.1, TopologicalComplexityLoss(TopologicalComplexityConfig(**settings), dims)))
    return terms


def combined(params: dict[str, Any], main: Loss, dims: int) -> Loss:
    factor = warmup_factor(params["epoch"], 10, params.get("warmup_schedule", "linear"))
    terms = added_regularizers(params, dims)

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        total = main(prediction, target)
        for weight, term in terms:
            total = total + factor * weight * term(prediction, target)
        return total

    return loss


@pytest.mark.parametrize("dims", [2, 3])
def test_golden_gdl_focal_regularized(dims: int, published_bugs: None) -> None:
    arrays, params = stored.golden(f"gdl_focal_regularized_{dims}d")
    pytest.importorskip("gudhi")
    for name, settings in params.items():
        region = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig(class_weights=settings.get("gdl_class_weights")))
        weight = settings.get("gdl_focal_weight", 1.0)
        stored.compare(
            arrays, name, combined(settings, lambda p, t, w=weight, r=region: w * r(p, t), dims), settings["classes"]
        )


def latents(names: tuple[str, ...] = ("prior_mu", "prior_logvar", "post_mu", "post_logvar")) -> list[Tensor]:
    arrays, _ = stored.golden("elbo_latents")
    return [arrays[name].clone().requires_grad_() for name in names]


@pytest.mark.parametrize("dims", [2, 3])
def test_golden_elbo(dims: int, published_bugs: None) -> None:
    arrays, params = stored.golden(f"elbo_{dims}d")
    pytest.importorskip("gudhi")
    for name, settings in params.items():
        weights = settings.get("elbo_class_weights")
        weights = None if weights is None else torch.tensor(weights)
        kl = settings.get("beta", 1.0) * kl_divergence(*latents(), clamp=settings.get("kl_clamp")).detach()
        focal = GeneralizedDiceFocalLoss(GeneralizedDiceFocalConfig())
        share = warmup_factor(settings["epoch"], 10) if settings.get("use_gdl_focal_regularization") else 0.0

        def main(p: Tensor, t: Tensor, w: Any = weights, kl: Any = kl, share: float = share, r: Any = focal) -> Tensor:
            total = F.cross_entropy(p, t[:, 0].long(), weight=w) + kl
            return total + share * r(p, t) if share else total

        stored.compare(arrays, name, combined(settings, main, dims), settings["classes"])


def test_golden_elbo_latents() -> None:
    arrays, _ = stored.golden("elbo_latents")
    inputs = latents()
    value = kl_divergence(*inputs)
    torch.testing.assert_close(value.detach(), arrays["kl"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(kl_divergence(*inputs, clamp=1.0).detach(), arrays["kl_clamp1"], rtol=1e-4, atol=1e-5)
    value.backward()
    for tensor, name in zip(inputs, ("prior_mu", "prior_logvar", "post_mu", "post_logvar"), strict=True):
        torch.testing.assert_close(tensor.grad, arrays[f"grad_{name}"], rtol=1e-4, atol=1e-5)
    prediction, target = arrays["regression_pred"], arrays["regression_target"]
    kl = kl_divergence(*(torch.cat([x, x[:1]]).detach() for x in inputs))
    for name, loss in (("mse", F.mse_loss), ("l1", F.l1_loss), ("huber", F.huber_loss)):
        expected = arrays[f"regression_{name}"]
        torch.testing.assert_close(loss(prediction, target) + 0.3 * kl, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_golden_weighted_cross_entropy_is_the_usual_one_over_the_number_of_classes(dims: int) -> None:
    arrays, _ = stored.golden(f"weighted_ce_{dims}d")
    logits = arrays["logits"].clone().requires_grad_()
    usual = F.cross_entropy(logits, arrays["target"][:, 0].long(), reduction="none")
    classes = logits.shape[1]
    for name, values in (("plain", usual), ("costmap", usual * arrays["costmap"][:, 0])):
        torch.testing.assert_close((values.mean() / classes).detach(), arrays[f"value_{name}"], rtol=1e-4, atol=1e-5)
        (gradient,) = torch.autograd.grad(values.mean() / classes, logits, retain_graph=True)
        torch.testing.assert_close(gradient, arrays[f"grad_{name}"], rtol=1e-4, atol=1e-5)
    assert not torch.isclose(usual.mean(), arrays["value_plain"], rtol=0.1)
    weights = torch.tensor([0.2, 1.0, 3.0])
    weighted = F.cross_entropy(logits, arrays["target"][:, 0].long(), weights, reduction="none")
    right = arrays["value_costmap_cw" if dims == 3 else "value_costmap_cw_intended"]
    torch.testing.assert_close(
        (weighted * arrays["costmap"][:, 0]).mean().detach() / classes, right, rtol=1e-4, atol=1e-5
    )
