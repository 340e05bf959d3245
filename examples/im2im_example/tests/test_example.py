"""The example as a user meets it: through the registry."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from im2im_core.registry import Registry

SOURCE = Path(__file__).resolve().parents[1] / "src"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.syspath_prepend(str(SOURCE))
    return Registry.discover([EntryPoint("example", "im2im_example.plugin", "im2im")], environment={})


def test_it_is_active(registry: Registry) -> None:
    assert [(plugin.name, plugin.state, plugin.reason) for plugin in registry.plugins] == [("example", "active", "")]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_network_keeps_the_size(registry: Registry, dims: int) -> None:
    network = registry.get("network", "dilated").component
    built = network.factory(network.config(width=4), spatial_dims=dims, in_channels=2, out_channels=3)
    shape = (20, 17, 9)[:dims]
    assert built(torch.zeros(2, 2, *shape)).shape == (2, 3, *shape)


def test_the_loss_respects_the_cost_map(registry: Registry) -> None:
    declared = registry.get("loss", "charbonnier").component
    loss = declared.factory(declared.config())
    target = torch.zeros(1, 1, 4, 4)
    prediction = target.clone()
    prediction[..., 0] = 5
    costmap = torch.ones_like(target)
    costmap[..., 0] = 0
    assert loss(prediction, target) > 1
    assert loss(prediction, target, costmap=costmap) == 0


def test_the_model_learns(registry: Registry) -> None:
    torch.manual_seed(0)
    network, loss, model = (
        registry.get(kind, name).component
        for kind, name in (("network", "dilated"), ("loss", "charbonnier"), ("model", "image-to-image"))
    )
    built = model.factory(
        model.config(),
        network=lambda i, o: network.factory(
            network.config(width=8, dilations=(1, 2)), spatial_dims=2, in_channels=i, out_channels=o
        ),
        loss=loss.factory(loss.config()),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        scheduler=None,
        in_channels=1,
        target_channels=1,
    )
    built.log = lambda *args, **kwargs: None  # there is no trainer here
    image = torch.rand(2, 1, 16, 16)
    batch = {"image": image, "target": 1 - image}
    optimizer = built.configure_optimizers()
    losses = []
    for step in range(60):
        value = built.training_step(batch, step)["loss"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.5 * losses[0]
    assert "im2im_example.model" in sys.modules
