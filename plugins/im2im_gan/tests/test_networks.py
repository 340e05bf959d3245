"""Generator and discriminators: published outputs, sizes, what does not fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from golden_gan import case, load, needs_golden

from im2im_core import DataError
from im2im_gan.discriminators.config import PatchConfig
from im2im_gan.discriminators.patch import MultiScaleDiscriminator, PatchDiscriminator
from im2im_gan.networks.config import ResnetGeneratorConfig
from im2im_gan.networks.resnet_generator import ResnetGenerator


def generator(params: dict[str, Any], *, activated: bool = True) -> ResnetGenerator:
    config = ResnetGeneratorConfig(
        features=params["nf"],
        down_blocks=params["n_down_blocks"],
        residual_blocks=params["n_res_blocks"],
        norm=params["norm_layer"].lower(),
        activate_residual=activated,
    )
    channels = {key: params[key] for key in ("in_channels", "out_channels")}
    return ResnetGenerator(config, spatial_dims=params["spatial_dims"], **channels)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@needs_golden
@pytest.mark.parametrize("name", ["2d_batch", "2d_instance", "3d_instance"])
def test_the_generator_gives_the_published_outputs(name: str, one_thread) -> None:
    arrays, params = case(f"net_resnet_generator_{name}")
    network = generator(params)
    load(network, arrays, "sd/")
    network.eval()
    with torch.no_grad():
        assert close(network(arrays["input"]), arrays["output"])
    # pix2pixHD adds without an activation before it, which is the default here.
    published = generator(params, activated=False)
    load(published, arrays, "sd/")
    with torch.no_grad():
        assert not close(published.eval()(arrays["input"]), arrays["output"])


@needs_golden
@pytest.mark.parametrize("name", ["patch_discriminator_2d", "patch_discriminator_3d", "multiscale_discriminator_2d"])
def test_discriminators_give_the_published_verdicts(name: str, one_thread) -> None:
    arrays, params = case(f"net_{name}")
    config = PatchConfig(features=params["nf"], layers=params["n_layers"], norm=params["norm_layer"].lower())
    scales = params.get("num_discriminator", 1)
    shape = {"spatial_dims": params["spatial_dims"], "in_channels": params["in_channels"]}
    network = MultiScaleDiscriminator(config, scales=scales, **shape)
    load(network, arrays, "sd/")
    expected = [arrays["output"]] if scales == 1 else [arrays[f"output_{index}"] for index in range(scales)]
    network.eval()
    with torch.no_grad():
        verdict = network(arrays["input"])
    assert len(verdict) == scales
    assert all(close(features[-1], output) for features, output in zip(verdict, expected, strict=True))
    assert all(len(features) == params["n_layers"] + 1 for features in verdict)


@pytest.mark.parametrize("upsample", ["deconv", "nontrainable"])
@pytest.mark.parametrize("size", [(1, 1), (7, 30), (33, 16), (1, 20, 23), (5, 16, 9)])
def test_any_size_comes_back(size: tuple[int, ...], upsample: str, one_thread) -> None:
    config = ResnetGeneratorConfig(features=4, residual_blocks=1, upsample=upsample, final_activation="tanh")
    network = ResnetGenerator(config, spatial_dims=len(size), in_channels=2, out_channels=3).eval()
    with torch.no_grad():
        output = network(torch.rand(1, 2, *size) * 100)
    assert output.shape == (1, 3, *size)
    assert output.abs().max() <= 1


def test_features_shrink_and_the_logits_are_last() -> None:
    network = PatchDiscriminator(PatchConfig(features=4, layers=3), spatial_dims=2, in_channels=1)
    shapes = [tuple(features.shape) for features in network(torch.rand(1, 1, 64, 64))]
    assert shapes == [(1, 4, 32, 32), (1, 8, 16, 16), (1, 16, 8, 8), (1, 1, 7, 7)]


@pytest.mark.parametrize("size", [(4, 64, 64), (1, 32, 32)])
def test_too_small_an_image_is_refused(size: tuple[int, ...]) -> None:
    network = MultiScaleDiscriminator(PatchConfig(features=2), scales=1, spatial_dims=3, in_channels=1)
    with pytest.raises(DataError, match="too small for 3 layers of the discriminator") as caught:
        network(torch.rand(1, 1, *size))
    assert "discriminator.layers" in (caught.value.hint or "")
    assert "discriminator.scales" not in (caught.value.hint or "")


@pytest.mark.parametrize(("layers", "scales"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)])
def test_the_least_size_works_and_a_pixel_less_is_refused(layers: int, scales: int, one_thread) -> None:
    """The size of the image is named, and not that of the smaller copy, which the user has never seen."""
    config = PatchConfig(features=2, layers=layers)
    network = MultiScaleDiscriminator(config, scales=scales, spatial_dims=2, in_channels=1).train()
    coarsest = 2 * 2**layers
    least = (coarsest - 1) * 2 ** (scales - 1) + 1  # halves are rounded up
    verdict = network(torch.rand(2, 1, least, least))
    assert len(verdict) == scales and verdict[-1][-1].shape == (2, 1, 1, 1)
    with pytest.raises(DataError, match=f"an image of {least - 1} x {least} pixels") as caught:
        network(torch.rand(2, 1, least - 1, least))
    assert ("discriminator.scales" in (caught.value.hint or "")) == (scales > 1)
