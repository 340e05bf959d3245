"""Every network, at every dimension that it declares, on images of any size."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from im2im_core import ConfigError, Network
from im2im_fcn.networks.config_own import AnisotropicUNetConfig
from im2im_fcn.networks.declarations import NETWORKS
from im2im_fcn.networks.fitting import FittedNetwork, WindowedNetwork

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden"
BY_NAME = {network.name: network for network in NETWORKS}
CASES = [
    pytest.param(network, dims, id=f"{network.name}-{dims}d") for network in NETWORKS for dims in network.spatial_dims
]
SIZES = {2: ((33, 47), (1, 1)), 3: ((5, 17, 19), (1, 1, 1))}
THIN = {2: (1, 21), 3: (1, 9, 20)}

# What makes a network small enough for a test; what is not named here is small.
TINY: dict[str, dict[str, Any]] = {
    "unet": {"channels": (4, 8, 8), "strides": (2, 2)},
    "basic-unet": {"features": (4, 4, 8, 8, 8, 4)},
    "attention-unet": {"channels": (4, 8, 8), "strides": (2, 2)},
    "dynunet": {"strides": (1, 2, 2), "filters": (4, 8, 8)},
    "highresnet": {"channels": (4, 8), "repeats": 1, "last_channels": 8},
    "flexible-unet": {"backbone": "resnet10", "decoder_channels": (16, 8, 8, 4, 4)},
    "segresnet": {"init_filters": 8, "blocks_down": (1, 1), "blocks_up": (1,)},
    "unetr": {"input_size": 32, "feature_size": 2, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2},
    "swin-unetr": {"feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 3},
    "fnet": {"depth": 2, "mult_chan": 4},
    "anisotropic-unet": {"channels": (4, 8, 8)},
    "deeplabv3": {"channels": 8},
}


def build(name: str, dims: int, in_channels: int = 2, out_channels: int = 3, **settings: Any) -> nn.Module:
    declared = BY_NAME[name]
    config = declared.config.model_validate(settings)
    torch.manual_seed(0)
    module = declared.factory(config, spatial_dims=dims, in_channels=in_channels, out_channels=out_channels)
    assert isinstance(module, nn.Module)
    return module


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("network", "dims"), CASES)
def test_any_size_trains_and_predicts(network: Network, dims: int) -> None:
    module = build(network.name, dims, **TINY[network.name])
    module.train()
    for size in SIZES[dims]:
        image = torch.randn(1, 2, *size)
        module.zero_grad()
        prediction = module(image)
        assert prediction.shape == (1, 3, *size)
        prediction.square().mean().backward()
        without = [key for key, value in module.named_parameters() if value.requires_grad and value.grad is None]
        assert not without
        assert all(bool(torch.isfinite(value.grad).all()) for value in module.parameters() if value.grad is not None)
    module.eval()
    with torch.no_grad():
        assert module(torch.randn(2, 2, *THIN[dims])).shape == (2, 3, *THIN[dims])


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_steps_lower_the_loss(network: Network) -> None:
    dims = min(network.spatial_dims)
    module = build(network.name, dims, **TINY[network.name])
    image = torch.randn(1, 2, *SIZES[dims][0])
    target = image.mean(dim=1, keepdim=True).repeat(1, 3, *(1,) * dims)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = nn.functional.mse_loss(module(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("network", "dims"), CASES)
def test_defaults_build(network: Network, dims: int) -> None:
    # MONAI reads numbers out of tensors while it builds swin-unetr, and without values there are none.
    with torch.device("cpu" if network.name == "swin-unetr" else "meta"):
        module = build(network.name, dims, in_channels=1, out_channels=1)
    assert 1e4 < sum(value.numel() for value in module.parameters()) < 2e8


@pytest.mark.parametrize(("network", "dims"), CASES)
def test_dropout_is_there_when_asked_for(network: Network, dims: int) -> None:
    kinds = (nn.Dropout, nn.Dropout2d, nn.Dropout3d)
    rates = set()
    for module in build(network.name, dims, dropout=0.37, **TINY[network.name]).modules():
        if isinstance(module, kinds):
            rates.add(module.p)
    assert 0.37 in rates


def test_names_summaries_and_settings_are_for_the_user() -> None:
    assert len(BY_NAME) == len(NETWORKS) == len(TINY)
    for network in NETWORKS:
        assert network.name == network.name.lower()
        assert "_" not in network.name
        assert "\n" not in network.summary
        assert network.summary.endswith(")"), "names its paper"
        assert all(field.description for field in network.config.model_fields.values())


def test_declarations_load_no_torch() -> None:
    modules = "im2im_fcn.networks.declarations, im2im_fcn.networks.planning"
    code = f"import sys, {modules}; print(sorted({{'torch', 'monai', 'skimage'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


IMPOSSIBLE = [
    ("unet", {"channels": (4, 8), "strides": (2, 2)}, "need 1 strides"),
    ("unet", {"kernel_size": 4}, "odd"),
    ("unet", {"up_kernel_size": 2}, "odd"),
    ("unet", {"channels": (0, 8), "strides": (2,)}, "greater than or equal to 1"),
    ("unet", {"dropout": 1}, "less than 1"),
    ("basic-unet", {"features": (4, 4)}, "at least 6"),
    ("attention-unet", {"channels": (4, 8, 16)}, "need 2 strides, one between two levels, and there are 3"),
    ("attention-unet", {"channels": (1, 8), "strides": (2,)}, "greater than or equal to 2"),
    ("dynunet", {"kernels": (3, 3)}, "5 strides need as many kernels"),
    ("dynunet", {"filters": (8,)}, "5 strides need as many filters"),
    ("dynunet", {"strides": (2, 2, 2)}, "first level"),
    ("dynunet", {"strides": (1, 2), "kernels": (3, 4)}, "odd"),
    ("dynunet", {"strides": (1, (2, 2), (1, 2, 2))}, "axes"),
    ("dynunet", {"strides": (1, 3), "kernels": (1, 1)}, "strides from 1 to 2"),
    ("highresnet", {"channels": (8, 4)}, "may not shrink"),
    ("flexible-unet", {"backbone": "resnet19"}, "resnet18"),
    ("flexible-unet", {"decoder_channels": (8, 8)}, "at least 5"),
    ("flexible-unet", {"pretrained": True}, "pretrained"),
    ("segresnet", {"init_filters": 12}, "multiple of 8"),
    ("segresnet", {"blocks_down": (1, 1)}, "blocks_up needs 1"),
    ("unetr", {"input_size": 40}, "multiple of 16"),
    ("unetr", {"input_size": 0}, "at least 16"),
    ("unetr", {"input_size": (32,)}, "one for each of 2 or 3 axes"),
    ("unetr", {"hidden_size": 100}, "multiple of 12"),
    ("swin-unetr", {"feature_size": 20}, "multiple of 12"),
    ("swin-unetr", {"num_heads": (5, 6, 12, 24)}, "multiple of 5"),
    ("fnet", {"depth": 0}, "greater than or equal to 1"),
    ("anisotropic-unet", {"zoom_ratio": 5}, "2, 3 or 4"),
    ("anisotropic-unet", {"zoom_ratio": 4, "channels": (4, 8)}, "at least 3 levels"),
    ("deeplabv3", {"output_stride": 4}, "8 or 16"),
    ("deeplabv3", {"atrous_rates": ()}, "at least 1"),
]


@pytest.mark.parametrize(("name", "settings", "message"), IMPOSSIBLE)
def test_settings_that_cannot_work_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BY_NAME[name].config.model_validate(settings)


@pytest.mark.parametrize(
    ("name", "settings"), [("dynunet", {"strides": (1, (1, 2, 2))}), ("unetr", {"input_size": (32, 32, 32)})]
)
def test_settings_for_other_axes_are_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="3 numbers and the images have 2 axes"):
        build(name, 2, **settings)


POSSIBLE = [
    ("unet", 2, {"channels": (5, 7), "strides": (4,), "kernel_size": 1, "num_res_units": 0, "norm": "instance"}),
    ("unet", 2, {"channels": (5, 7, 9), "strides": (1, 3), "kernel_size": 5, "up_kernel_size": 5}),
    ("unet", 3, {"channels": (5, 7), "strides": (2,), "up_kernel_size": 1}),
    ("basic-unet", 2, {"features": (3, 5, 7, 9, 11, 5), "upsample": "nontrainable"}),
    ("basic-unet", 3, {"features": (3, 5, 7, 9, 11, 5), "norm": "batch"}),
    ("attention-unet", 2, {"channels": (3, 5), "strides": (3,), "kernel_size": 5, "up_kernel_size": 1}),
    ("dynunet", 3, {"strides": (1, (1, 4, 2)), "kernels": ((1, 3, 3), 5), "filters": (3, 5)}),
    ("dynunet", 2, {"strides": (1,), "filters": (4,), "res_block": True}),
    ("dynunet", 2, {"strides": (1, 2, (1, 3)), "filters": (4, 4, 4), "kernels": (3, 1, 3), "norm": "batch"}),
    ("highresnet", 2, {"channels": (4,), "repeats": 1, "kernel_size": 1}),
    ("flexible-unet", 2, {"backbone": "efficientnet-b0", "decoder_channels": (8, 8, 8, 5, 3), "dropout": 0.1}),
    ("segresnet", 2, {"init_filters": 3, "num_groups": 3, "blocks_down": (1,), "blocks_up": ()}),
    ("unetr", 3, {"input_size": (16, 32, 16), "feature_size": 1, "hidden_size": 6, "mlp_dim": 4, "num_heads": 3}),
    ("unetr", 2, {"input_size": 16, "feature_size": 3, "hidden_size": 8, "mlp_dim": 4, "num_heads": 2, "overlap": 0}),
    ("fnet", 2, {"depth": 1, "mult_chan": 1, "dropout": 0.2}),
    ("anisotropic-unet", 3, {"channels": (3, 5, 2), "zoom_ratio": 3}),
    ("anisotropic-unet", 3, {"channels": (3, 5, 2, 4), "zoom_ratio": 4}),
    ("deeplabv3", 2, {"backbone": "resnet50", "output_stride": 8, "atrous_rates": (2,), "channels": 4}),
]


@pytest.mark.parametrize(("name", "dims", "settings"), POSSIBLE)
def test_unusual_settings_work(name: str, dims: int, settings: dict[str, Any]) -> None:
    size = (21, 38) if dims == 2 else (5, 17, 19)
    module = build(name, dims, in_channels=3, out_channels=1, **settings)
    prediction = module(torch.randn(2, 3, *size))
    assert prediction.shape == (2, 1, *size)
    prediction.mean().backward()
    assert all(value.grad is not None for value in module.parameters())


@pytest.mark.parametrize(("zoom_ratio", "voxels"), [(2, 1), (3, 1), (4, 2)])
def test_anisotropic_unet_becomes_isotropic_first(zoom_ratio: int, voxels: int) -> None:
    config = AnisotropicUNetConfig(zoom_ratio=zoom_ratio)
    first, rest = config.strides[:voxels], config.strides[voxels:]
    assert all(stride[0] == 1 for stride in first)
    assert np.prod(first, axis=0).tolist() == [1, zoom_ratio, zoom_ratio]
    assert rest
    assert set(rest) == {(2, 2, 2)}


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (33, 47), (5, 17, 19), (1, 24, 9)])
def test_images_come_back_where_they_were(size: tuple[int, ...]) -> None:
    image = torch.randn(2, 3, *size)
    torch.testing.assert_close(FittedNetwork(nn.Identity(), (8,) * len(size))(image), image, rtol=0, atol=0)
    windowed = WindowedNetwork(nn.Identity(), (16,) * len(size), overlap=0.25)
    torch.testing.assert_close(windowed(image), image)


def test_networks_see_sizes_that_they_can_halve() -> None:
    seen = []

    class Watch(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(image.shape[2:]))
            return image

    net = FittedNetwork(Watch(), (2, 8, 8))
    for size in ((5, 17, 8), (1, 8, 3), (2, 16, 24)):
        net(torch.zeros(1, 1, *size))
    assert seen == [(6, 24, 8), (2, 8, 16), (2, 16, 24)]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_deeplab_features_are_as_fine_as_asked(output_stride: int, backbone: str) -> None:
    module = build("deeplabv3", 2, output_stride=output_stride, backbone=backbone, channels=4)
    shapes = []
    module.net.pyramid.register_forward_hook(lambda _, given, found: shapes.extend([given[0].shape, found.shape]))
    module(torch.randn(1, 2, 64, 48))
    assert {tuple(shape[2:]) for shape in shapes} == {(64 // output_stride, 48 // output_stride)}


def test_the_windowed_network_predicts_a_whole_window_as_it_is() -> None:
    module = build("unetr", 2, **TINY["unetr"]).eval()
    image = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(module(image), module.net(image))


# --- reference values -------------------------------------------------------------------------------------------


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip("the reference values are not part of the repository")
    cases = json.loads((GOLDEN / "index.json").read_text())["cases"]
    params = next(case["params"] for case in cases if case["name"] == name)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays), params


def agree(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    with torch.no_grad():
        found = module.eval()(torch.from_numpy(arrays["input"])).numpy()
    np.testing.assert_allclose(found, arrays["output"], rtol=1e-3, atol=1e-4 * np.abs(arrays["output"]).max())


def weights(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("sd/"): torch.from_numpy(value) for key, value in arrays.items() if key.startswith("sd/")}


def from_recursive(state: dict[str, torch.Tensor], depth: int) -> dict[str, torch.Tensor]:
    """The weights of an fnet whose levels lie within each other, under the names of one whose levels are in lists."""
    layers = {"conv1": "0", "bn1": "1", "conv2": "3", "bn2": "4"}
    names = {"conv_out": "head"}
    for level in range(depth + 1):
        outer = "net_recurse" + ".sub_u" * level
        for old, new in layers.items():
            names[f"{outer}.sub_2conv_more.{old}"] = f"encoders.{level}.{new}"
            names[f"{outer}.sub_2conv_less.{old}"] = f"decoders.{level}.{new}"
        names |= {f"{outer}.conv_down": f"downs.{level}.0", f"{outer}.bn0": f"downs.{level}.1"}
        names |= {f"{outer}.convt": f"ups.{level}.0", f"{outer}.bn1": f"ups.{level}.1"}
    return {f"net.{names[key.rsplit('.', 1)[0]]}.{key.rsplit('.', 1)[1]}": value for key, value in state.items()}


@pytest.mark.parametrize(("name", "dims"), [("net_fnet_2d", 2), ("net_fnet_3d", 3)])
def test_fnet_golden(name: str, dims: int) -> None:
    arrays, params = golden(name)
    depth = params["depth"]
    channels = {"in_channels": params.get("in_channels", 1), "out_channels": params.get("out_channels", 1)}
    module = build("fnet", dims, **channels, depth=depth, mult_chan=params["mult_chan"])
    module.load_state_dict(from_recursive(weights(arrays), depth))
    assert sum(value.numel() for value in module.parameters()) == params["n_parameters"]
    agree(module, arrays)


def test_fnet_golden_checkpoint() -> None:
    arrays, params = golden("ckpt_fnet_2d")
    with gzip.open(GOLDEN / params["checkpoint_file"]) as file:
        state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    module = build("fnet", 2, 1, 1, depth=params["depth"], mult_chan=params["mult_chan"])
    module.load_state_dict(from_recursive({key.removeprefix("net."): v for key, v in state.items()}, params["depth"]))
    agree(module, arrays)


def test_fnet_golden_holds_for_the_defaults() -> None:
    _, params = golden("ckpt_fnet_2d")
    defaults = BY_NAME["fnet"].config().model_dump()
    assert {key: defaults[key] for key in ("depth", "mult_chan")} == {
        key: params[key] for key in ("depth", "mult_chan")
    }


@pytest.mark.parametrize(("name", "dims"), [("net_attention_unet_2d", 2), ("net_attention_unet_3d", 3)])
def test_attention_unet_golden(name: str, dims: int) -> None:
    arrays, params = golden(name)
    # MONAI uses a stride between two levels, and ignores the last one of the reference.
    settings = {"channels": params["channels"], "strides": params["strides"][:-1], "dropout": params["dropout"]}
    module = build("attention-unet", dims, params["in_channels"], params["out_channels"], **settings)
    assert sum(value.numel() for value in module.parameters()) == params["n_parameters"]
    module.net.load_state_dict(weights(arrays))
    agree(module, arrays)
