"""Branched ERFNet: published weights load and give published outputs; any size goes in."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import direct_embedseg as direct

from im2im_embedseg.erfnet import BranchedERFNet


def close(output: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(output.detach(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("dims", [2, 3])
def test_golden(dims: int) -> None:
    arrays, params = direct.golden(f"net_branched_erfnet_{dims}d")
    network = BranchedERFNet(dims, params["input_channels"], params["num_classes"]).eval()
    weights = {key[3:]: torch.from_numpy(value) for key, value in arrays.items() if key.startswith("sd/")}
    network.load_state_dict(weights, strict=True)
    assert list(network.state_dict()) == list(weights)
    assert sum(parameter.numel() for parameter in network.parameters()) == params["n_parameters"]
    with torch.no_grad():
        close(network(torch.from_numpy(arrays["input"])), arrays["output"])


def test_golden_checkpoint() -> None:
    arrays, params = direct.golden("ckpt_branched_erfnet_2d")
    raw = gzip.decompress((direct.GOLDEN / params["checkpoint_file"]).read_bytes())
    stored = torch.load(io.BytesIO(raw), weights_only=True)["state_dict"]
    network = BranchedERFNet(2, params["input_channels"], params["num_classes"]).eval()
    network.load_state_dict({key[4:]: value for key, value in stored.items() if key.startswith("net.")}, strict=True)
    with torch.no_grad():
        close(network(torch.from_numpy(arrays["input"])), arrays["output"])


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (19, 33), (3, 10, 9), (1, 16, 7)])
def test_any_size(shape: tuple[int, ...]) -> None:
    network = BranchedERFNet(len(shape), 2, (3, 1, 2)).eval()
    with torch.no_grad():
        output = network(torch.rand(1, 2, *shape))
    assert output.shape == (1, 6, *shape)
    assert output.isfinite().all()


def test_padding_is_at_the_far_end() -> None:
    torch.manual_seed(0)
    network = BranchedERFNet(2, 1, (1,)).eval()
    image = torch.rand(1, 1, 16, 16)
    image[..., 13:] = image[..., 12:13]
    image[..., 11:, :] = image[..., 10:11, :]
    with torch.no_grad():
        torch.testing.assert_close(network(image[..., :11, :13]), network(image)[..., :11, :13])


def test_channels_last() -> None:
    torch.manual_seed(0)
    network = BranchedERFNet(2, 1, (2, 1)).eval()
    image = torch.rand(2, 1, 20, 28)
    with torch.no_grad():
        expected = network(image)
        network = network.to(memory_format=torch.channels_last)
        output = network(image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4)


def test_every_used_weight_is_trained() -> None:
    torch.manual_seed(0)
    network = BranchedERFNet(2, 1, (2, 1))
    network(torch.rand(2, 1, 24, 16)).square().sum().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A bias before batch normalisation has no effect but for rounding, so it may be in the list or not.
    assert [name for name in idle if not name.endswith(".bias")] == ["encoder.output_conv.weight"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((4, 1, (1,)), "spatial_dims"), ((2, 16, (1,)), "1 to 15"), ((2, 1, ()), "branch"), ((2, 1, (2, 0)), "branch")],
)
def test_what_cannot_be_built(arguments: tuple[int, int, tuple[int, ...]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BranchedERFNet(*arguments)
