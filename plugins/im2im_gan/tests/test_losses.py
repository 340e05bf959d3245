"""Losses of both models against published values, and against sums done by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from golden_gan import case, load, needs_golden

from im2im_gan.adversarial import AdversarialObjective, feature_matching
from im2im_gan.config import CycleGanConfig, Pix2PixConfig
from im2im_gan.cyclegan import CycleGan
from im2im_gan.discriminators.config import PatchConfig
from im2im_gan.discriminators.patch import MultiScaleDiscriminator
from im2im_gan.networks.config import ResnetGeneratorConfig
from im2im_gan.networks.resnet_generator import ResnetGenerator
from im2im_gan.pix2pix import Pix2Pix
from im2im_gan.pool import ReplayPool

OBJECTIVES = {"BCEWithLogitsLoss": "bce", "MSELoss": "least-squares"}


class Compare(nn.Module):
    """A loss of the registry's form."""

    def __init__(self, compare: Any) -> None:
        super().__init__()
        self.compare = compare

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, costmap: Any = None) -> torch.Tensor:
        return self.compare(prediction, target)


def pix2pix(discriminator: nn.Module, compare: Any, dims: int, **config: Any) -> Pix2Pix:
    return Pix2Pix(
        Pix2PixConfig(target_range=((0.0, 1.0),), **config),
        network=lambda *_: nn.Identity(),
        discriminator=lambda _: discriminator,
        loss=Compare(compare),
        optimizer=None,
        scheduler=None,
        spatial_dims=dims,
        in_channels=1,
        target_channels=1,
    )


@needs_golden
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "kind", ["basic_bce_l1", "basic_mse_mse", "pix2pix_HD_features", "pix2pix_HD_original_features"]
)
def test_pix2pix_losses_are_the_published_ones(kind: str, dims: int, one_thread) -> None:
    arrays, params = case(f"pix2pix_losses_{dims}d")
    chosen, judge = params[kind], params["discriminator"]
    basic = kind.startswith("basic")
    scales = 1 if basic else judge["num_discriminator"]
    config = PatchConfig(features=judge["nf"], layers=judge["n_layers"], norm=judge["norm"].lower())
    discriminator = MultiScaleDiscriminator(config, scales=scales, spatial_dims=dims, in_channels=2)
    load(discriminator, arrays, "sd/patch:" if basic else "sd/multi:")
    weights = chosen["weights"]
    model = pix2pix(
        discriminator,
        F.l1_loss if chosen["recon"] == "L1Loss" else F.mse_loss,
        dims,
        objective=OBJECTIVES[chosen["gan"]],
        adversarial_weight=weights["gan_loss"],
        feature_matching_weight=weights.get("fm_loss", 0),
        reconstruction_weight=weights.get("reconstruction_loss", 0),
    )
    image, target, generated = arrays["image_A"], arrays["image_B"], arrays["fake_B"].requires_grad_()
    loss = torch.stack(list(model.deceive(image, generated, target, None).values())).sum()
    torch.testing.assert_close(loss, arrays[f"{kind}_g"], rtol=1e-4, atol=1e-5)
    [gradient] = torch.autograd.grad(loss, generated)
    expected = arrays[f"{kind}_g_grad"]
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))
    found = model.tell_apart(image, generated.detach(), target)
    torch.testing.assert_close(found, arrays[f"{kind}_d"], rtol=1e-4, atol=1e-5)


@needs_golden
def test_a_peer_that_takes_images_for_layers_gives_another_value() -> None:
    arrays, _ = case("pix2pix_losses_2d")
    peer, layers = arrays["pix2pix_HD_original_peer_g"], arrays["pix2pix_HD_original_features_g"]
    assert not torch.isclose(peer, layers, rtol=1e-2)


def test_features_are_matched_by_layer_and_not_by_image() -> None:
    """A peer takes the images of a batch for the layers of its discriminator."""
    real = [[torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 1, 1)], [torch.zeros(2, 3, 1, 1), torch.zeros(2, 1, 1, 1)]]
    made = [
        [torch.full((2, 3, 2, 2), 0.5), torch.full((2, 1, 1, 1), 2.0)],
        [torch.full((2, 3, 1, 1), 4.0), torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)],
    ]
    # Layers: 0.5 + 2 at the first scale, 4 + (1 + 3) / 2 at the second; mean over the scales.
    assert feature_matching(real, made).item() == pytest.approx((2.5 + 6) / 2)


def test_the_verdict_is_the_last_layer_of_all_images() -> None:
    """A peer that takes images for layers judges the last image only."""
    logits = torch.tensor([0.0, 3.0]).view(2, 1, 1, 1)
    verdict = [[torch.full((2, 3, 2, 2), 9.0), logits], [torch.full((2, 3, 2, 2), 9.0), logits - 1]]
    objective = AdversarialObjective("least-squares")
    # Distances to 1: 1 and 4 at the first scale, 4 and 1 at the second; to 0: 0 and 9, 1 and 4.
    assert objective.generator(verdict).item() == pytest.approx((2.5 + 2.5) / 2)
    assert objective.discriminator(verdict, verdict).item() == pytest.approx((2.5 + 2.5 + 4.5 + 2.5) / 4)


def test_no_gradient_reaches_the_real_features() -> None:
    real = torch.ones(1, 1, 2, 2, requires_grad=True)
    made = torch.zeros(1, 1, 2, 2, requires_grad=True)
    feature_matching([[real]], [[made]]).backward()
    assert real.grad is None and made.grad is not None


@pytest.mark.parametrize(
    ("name", "deceiving", "apart"),
    [
        ("least-squares", (0.25 + 2.25) / 2, ((0.25 + 2.25) / 2 + (2.25 + 0.25) / 2) / 2),
        ("hinge", 0.0, ((0.5 + 1.5) / 2 + (1.5 + 0.5) / 2) / 2),
        ("bce", 0.7241, 0.7241),
    ],
)
def test_objectives_by_hand(name: str, deceiving: float, apart: float) -> None:
    verdict = [[torch.tensor([0.5, -0.5]).view(1, 1, 1, 2)]]
    if name == "least-squares":  # distances to 1: 0.5 and 1.5; to 0: 0.5 and 0.5
        apart = ((0.25 + 2.25) / 2 + 0.25) / 2
    objective = AdversarialObjective(name)
    assert objective.generator(verdict).item() == pytest.approx(deceiving, abs=1e-4)
    assert objective.discriminator(verdict, verdict).item() == pytest.approx(apart, abs=1e-4)


@pytest.mark.parametrize("name", ["least-squares", "bce", "hinge"])
def test_a_right_discriminator_has_the_least_loss_and_a_deceiving_generator_too(name: str) -> None:
    objective = AdversarialObjective(name)
    high, low = ([[torch.full((1, 1, 2, 2), value)]] for value in (1.0, -1.0))
    assert objective.discriminator(high, low) < objective.discriminator(low, high)
    assert objective.generator(high) < objective.generator(low)


def cyclegan(network: Any, discriminator: Any, **config: Any) -> CycleGan:
    settings = {"target_range": ((0.0, 1.0),), "image_range": ((0.0, 1.0),), **config}
    return CycleGan(
        CycleGanConfig(**settings),
        network=network,
        discriminator=discriminator,
        loss=Compare(F.l1_loss),
        optimizer=None,
        scheduler=None,
        spatial_dims=2,
        in_channels=1,
        target_channels=1,
    )


@needs_golden
def test_cyclegan_losses_are_those_of_the_paper(one_thread) -> None:
    arrays, params = case("cyclegan_step")
    shape, judge, weights = params["generator"], params["discriminator"], params["weights"]
    config = ResnetGeneratorConfig(
        features=shape["nf"],
        down_blocks=shape["n_down_blocks"],
        residual_blocks=shape["n_res_blocks"],
        activate_residual=True,
    )
    model = cyclegan(
        lambda a, b: ResnetGenerator(config, spatial_dims=2, in_channels=a, out_channels=b),
        lambda channels: MultiScaleDiscriminator(
            PatchConfig(features=judge["nf"], layers=judge["n_layers"]), scales=1, spatial_dims=2, in_channels=channels
        ),
        adversarial_weight=weights["gan_loss"],
        cycle_weight=weights["cycle_loss"],
        identity_weight=weights["identity_loss"],
    )
    load(model.network, arrays, "sd/generator_model_image_AtoB.")
    load(model.network_back, arrays, "sd/generator_model_image_BtoA.")
    for domain in ("a", "b"):
        load(model.discriminator[domain], arrays, f"sd/discriminator_model_image_{domain.upper()}.")
    real = {"a": arrays["image_A"], "b": arrays["image_B"]}
    with torch.no_grad():
        parts, generated = model.deceive(real)
        apart = model.tell_apart(real, generated)
    total = torch.stack(list(parts.values())).sum()
    torch.testing.assert_close(total, arrays["g_loss_paper"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(apart, arrays["d_loss_peer"], rtol=1e-4, atol=1e-5)
    identity = parts["identity"] / weights["identity_loss"]
    # A peer sends B through the generator that makes A; its value is another one.
    assert not torch.isclose(arrays["identity_peer"], arrays["identity_paper"], rtol=1e-2)
    torch.testing.assert_close(identity, arrays["identity_paper"], rtol=1e-4, atol=1e-5)


class Add(nn.Module):
    """A generator that adds a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + self.number


class Flat(nn.Module):
    """A discriminator that says the mean."""

    def forward(self, image: torch.Tensor) -> list[list[torch.Tensor]]:
        return [[image.mean((1, 2, 3), keepdim=True)]]


def test_cyclegan_losses_by_hand() -> None:
    numbers = iter((2.0, -1.0))  # A to B adds 2, B to A takes 1 away
    model = cyclegan(lambda *_: Add(next(numbers)), lambda _: Flat(), identity_weight=3.0, cycle_weight=10.0)
    a, b = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 5.0)
    parts, made = model.deceive({"a": a, "b": b})
    assert (made["b"] == 2).all() and (made["a"] == 4).all()
    # Each cycle adds 1 in all; A through the way to A moves by 1, B through the way to B by 2.
    assert parts["cycle"].item() == pytest.approx(10 * (1 + 1) / 2)
    assert parts["identity"].item() == pytest.approx(3 * (1 + 2) / 2)
    assert parts["adversarial"].item() == pytest.approx(((4 - 1) ** 2 + (2 - 1) ** 2) / 2)


class Multiply(nn.Module):
    """A generator that multiplies by a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.number


def test_each_identity_goes_through_the_generator_that_makes_its_kind() -> None:
    """A peer sends B through the way to A. Every pairing of images and generators has another sum here."""
    numbers = iter((3.0, 0.5))  # A to B triples, B to A halves
    model = cyclegan(lambda *_: Multiply(next(numbers)), lambda _: Flat(), identity_weight=1.0)
    parts, _ = model.deceive({"a": torch.full((1, 1, 2, 2), 1.0), "b": torch.full((1, 1, 2, 2), 4.0)})
    # A halved moves by 0.5, B tripled by 8. The peer: 0.5 + 2 (B halved); both swapped: 2 + 2.
    assert parts["identity"].item() == pytest.approx((0.5 + 8) / 2)


def test_the_pool_hands_out_earlier_images_half_of_the_time() -> None:
    torch.manual_seed(0)
    pool = ReplayPool(10)
    for number in range(10):
        assert pool.exchange(torch.full((1, 1, 2, 2), float(number))).unique().item() == number
    old = [pool.exchange(torch.full((1, 1, 2, 2), 100.0 + n)).unique().item() != 100 + n for n in range(400)]
    assert 0.4 < sum(old) / len(old) < 0.6
    assert len(pool.images) == 10
    again = ReplayPool(10)
    again.load_state_dict(pool.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(pool.images, again.images, strict=True))
    assert ReplayPool(0).exchange(torch.ones(1, 1, 2, 2)).sum() == 4
