"""Models that are trained against a discriminator: it is built for training, and no part of what comes of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy_model import toy_bundle, toy_registry

from im2im_core import BundleError, Discriminator, Model
from im2im_core.build import build_model
from im2im_core.bundle import MANIFEST, WEIGHTS, load_model, open_bundle, save_bundle, start_from
from im2im_core.components import KINDS
from im2im_core.config import RunConfig, resolve
from im2im_core.registry import PluginInfo, Registered, Registry


def _judge(config: Any, *, spatial_dims: int, in_channels: int) -> Any:
    from torch import nn

    return (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(in_channels, 1, 3)


def _rival(config: Any, *, network: Any, discriminator: Any, in_channels: int, target_channels: int) -> Any:
    from torch import nn

    class Rival(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(in_channels, target_channels)
            self.discriminator = discriminator(in_channels + target_channels) if discriminator else None

        def forward(self, image: Any) -> Any:
            return self.network(image)

    return Rival()


def registry(*, judges: bool) -> Registry:
    """That of the toy model, with a model that needs a judge; the judge is of another plug-in, or of none."""
    toys = toy_registry()
    defaults = {"network": {"name": "toy-net"}, "loss": {"name": "mse"}, "preprocessing": []}
    rival = Model(
        name="rival", summary="", factory=_rival, task="regression", adversarial=True,
        defaults={**defaults, "discriminator": {"name": "judge"}},
    )  # fmt: skip
    entries = [*(entry for kind in KINDS for entry in toys.components(kind)), Registered("toys", rival)]
    infos = list(toys.plugins)
    if judges:
        entries.append(Registered("judges", Discriminator(name="judge", summary="", factory=_judge)))
        infos.append(PluginInfo("judges", "judges", "im2im-judges", "1.0", "active"))
    return Registry(infos, entries)


@pytest.fixture
def config() -> RunConfig:
    return resolve(registry(judges=True), flags={"model": {"name": "rival"}, "dataset": {"path": "x"}})


def save(path: Path, config: RunConfig, model: Any) -> None:
    """A bundle of a model, described as the toy model's are."""
    toy_bundle(path)
    manifest = open_bundle(path, toy_registry()).manifest
    source = manifest.components[0]
    sources = [
        source.model_copy(update={"section": section, "name": choice.name, "plugin": choice.plugin})
        for section, choice in config.choices()
    ]
    sample = np.load(path / "sample_input.npy"), np.load(path / "sample_output.npy")
    save_bundle(path, manifest.model_copy(update={"components": tuple(sources)}), config, model, sample)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_builder_knows_the_dimensions_and_is_for_training_only(config: RunConfig, dims: int) -> None:
    shape = {"spatial_dims": dims, "in_channels": 2, "target_channels": 3}
    model: Any = build_model(config, **shape, training=True)
    assert tuple(model.discriminator.weight.shape) == (1, 5, *(3,) * dims)
    other: Any = build_model(config, **shape, training=False)
    assert other.discriminator is None


def test_prediction_needs_no_discriminator_nor_its_plugin(config: RunConfig, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = tmp_path / "bundle"
    save(path, config, build_model(config, spatial_dims=2, in_channels=1, target_channels=1, training=True))
    assert not [key for key in load_file(path / WEIGHTS) if key.startswith("discriminator")]
    recorded = {source["section"]: source for source in json.loads((path / MANIFEST).read_text())["components"]}
    assert (recorded["discriminator"]["name"], recorded["discriminator"]["plugin"]) == ("judge", "judges")
    for judges in (True, False):
        opened = open_bundle(path, registry(judges=judges))
        assert opened.config.model.name == "rival"
        assert load_model(opened).discriminator is None
    with pytest.raises(BundleError, match="needs plug-in 'toys'"):
        open_bundle(path, Registry.discover(environment={"IM2IM_PLUGINS": "builtin"}))


def test_a_start_point_leaves_the_discriminator_fresh(config: RunConfig, tmp_path: Path) -> None:
    import torch

    shape = {"spatial_dims": 2, "in_channels": 1, "target_channels": 1}
    first, second = (build_model(config, **shape, training=True) for _ in range(2))
    save(tmp_path / "bundle", config, first)
    before: Any = {key: value.clone() for key, value in second.state_dict().items()}
    start_from(second, tmp_path / "bundle")
    for key, value in second.state_dict().items():
        expected = before if key.startswith("discriminator") else first.state_dict()
        assert torch.equal(value, expected[key])
    assert not torch.equal(before["network.0.weight"], second.state_dict()["network.0.weight"])
