"""Test-time augmentation: a network that sees every turned image rightly predicts, turned back, exactly the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from im2im_core.sampling import turned
from im2im_embedseg.clustering import cluster
from im2im_embedseg.config import EmbedSegConfig
from im2im_embedseg.coordinates import spacing
from im2im_embedseg.model import EmbedSeg

GEOMETRY: dict[str, dict[str, Any]] = {
    "2d": {"grid": (64, 64), "extent": (1.0, 1.0)},
    "2d, long pixels": {"grid": (64, 64), "extent": (0.6, 1.0)},
    "3d": {"grid": (16, 64, 64), "extent": (1.0, 1.0, 1.0)},
}


class Perfect(nn.Module):
    """Offsets to the middles of rectangles, and bandwidths by their sides; a rectangle has a grey value of its own."""

    def __init__(self, n_sigma: int, steps: tuple[float, ...]) -> None:
        super().__init__()
        self.n_sigma, self.steps = n_sigma, steps

    def forward(self, image: Tensor) -> Tensor:
        dims = len(self.steps)
        result = torch.zeros(1, dims + self.n_sigma + 1, *image.shape[2:])
        result[:, -1] = -4
        for channel in range(self.n_sigma):
            result[:, dims + channel] = math.log(math.log(2) / (5 * self.steps[-1 - channel]) ** 2) / 10
        for grey in image.unique()[1:]:
            inside = image[0, 0] == grey
            place = inside.nonzero().double()
            for channel, axis in enumerate(reversed(range(dims))):
                offset = (place[:, axis].mean() - place[:, axis]) * self.steps[axis]
                result[0, channel][inside] = torch.atanh(offset).float()
                if channel < self.n_sigma:
                    radius = (place[:, axis].max() - place[:, axis].min() + 2) * self.steps[axis]
                    result[0, dims + channel][inside] = (torch.log(math.log(2) / radius**2) / 10).float()
            result[0, -1][inside] = 2 + grey
        return result


def made(name: str, n_sigma: int) -> tuple[EmbedSeg, Tensor]:
    """The model around such a network, and an image (1, 1, [Z], Y, X) of unlike sides."""
    geometry = GEOMETRY[name]
    dims = len(geometry["grid"])
    steps = spacing(geometry["grid"], geometry["extent"])
    model = EmbedSeg(
        EmbedSegConfig(n_sigma=n_sigma, **geometry),
        network=lambda inputs, outputs: Perfect(n_sigma or dims, steps),
        loss=None,
        optimizer=None,
        scheduler=None,
        spatial_dims=dims,
        in_channels=1,
    )
    # The network speaks in the units of the prediction itself.
    model.gain.fill_(1)
    model.start.fill_(0)
    image = torch.zeros(1, 1, *(6, 20, 30)[-dims:])
    image[..., 2:9, 3:6] = 0.1
    image[..., 11:14, 12:27] = 0.2
    image[..., 12:19, 1:9] = 0.3
    return model.eval(), image


@pytest.mark.parametrize("n_sigma", [0, 1])
@pytest.mark.parametrize("name", ["2d", "3d"])
def test_all_turns_agree(name: str, n_sigma: int) -> None:
    model, image = made(name, n_sigma)
    if n_sigma:
        image[image == 0.2] = 0  # one bandwidth for a long rectangle depends on which side is X
        image[image == 0.3] = 0
        image[..., 2:9, 3:10] = 0.1
    with torch.inference_mode():
        expected = model(image)
        for index in range(8):
            torch.testing.assert_close(turned(model, index)(image), expected, rtol=1e-5, atol=1e-6)


def test_lengths_of_unlike_axes_are_converted() -> None:
    model, image = made("2d, long pixels", 0)
    with torch.inference_mode():
        expected = model(image)
        for index in range(8):
            torch.testing.assert_close(turned(model, index)(image), expected, rtol=1e-4, atol=1e-6)


def test_without_undo_the_mean_is_nonsense_and_with_it_the_objects_are_found() -> None:
    model, image = made("2d", 0)
    geometry = {"grid": (64, 64), "pixel": (1.0, 1.0), "n_sigma": 2, "min_object_size": 3}
    with torch.inference_mode():
        mean = torch.stack([turned(model, index)(image) for index in range(8)]).mean(0)
        plain = torch.stack([turned(model.network, index)(image) for index in range(8)]).mean(0)
    labels = cluster(mean[0].numpy(), **geometry)
    np.testing.assert_array_equal(labels > 0, image[0, 0].numpy() > 0)
    assert len(np.unique(np.stack([labels.ravel(), image.numpy().ravel()]), axis=1).T) == 4
    assert not torch.allclose(plain[:, :2], mean[:, :2], atol=0.01)


def test_an_image_without_turns_is_left_alone() -> None:
    model, image = made("3d", 0)
    with torch.inference_mode():
        prediction = model(image)
    assert torch.equal(model.undo(prediction, turns=0, flip=False), prediction)
    assert torch.equal(model.undo(prediction, turns=4, flip=False), prediction)
