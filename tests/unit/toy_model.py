"""A model of one convolution in a registry made by hand, for tests of bundles and prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from im2im_core import ComponentConfig, Model, Network
from im2im_core.bundle import BundleManifest, ComponentSource, save_bundle
from im2im_core.config import RunConfig, resolve
from im2im_core.registry import PluginInfo, Registered, Registry


def _network(config: ComponentConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from torch import nn

    convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    return nn.Sequential(convolution(in_channels, out_channels, 3, padding=1), nn.ReLU())


def _model(config: ComponentConfig, *, network: Any, in_channels: int, target_channels: int) -> Any:
    from torch import nn

    class Toy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(in_channels, target_channels)

        def forward(self, image: Any) -> Any:
            return self.network(image)

    return Toy()


def toy_registry(plugin: str = "toys") -> Registry:
    """The built-in plug-in, and one with a model `toy` and a network `toy-net`."""
    builtin = Registry.discover(environment={"IM2IM_PLUGINS": "builtin"})
    defaults = {"network": {"name": "toy-net"}, "loss": {"name": "mse"}, "preprocessing": []}
    toys = (
        Model(name="toy", summary="", factory=_model, task="regression", defaults=defaults),
        Network(name="toy-net", summary="", factory=_network),
    )
    kinds = ("dataset", "transform", "loss", "trainer", "metric", "postprocessor")
    entries = [entry for kind in kinds for entry in builtin.components(kind)]
    infos = [*builtin.plugins, PluginInfo(plugin, plugin, "im2im-toys", "1.0", "active")]
    return Registry(infos, [*entries, *(Registered(plugin, toy) for toy in toys)])


def toy_config(registry: Registry, *assignments: str) -> RunConfig:
    """The settings of a run with the toy model."""
    return resolve(registry, flags={"model": {"name": "toy"}, "dataset": {"path": "x"}}, assignments=assignments)


def toy_bundle(
    path: Path,
    *assignments: str,
    channels: tuple[int, int] = (1, 1),
    window: tuple[int, ...] = (16, 16),
    overlap: float = 0.25,
    seed: int = 0,
) -> Registry:
    """Write a bundle of an untrained toy model and return the registry that opens it."""
    import torch

    from im2im_core.build import build_model

    torch.manual_seed(seed)
    registry = toy_registry()
    config = toy_config(registry, *assignments)
    dims = len(window)
    model = build_model(
        config, spatial_dims=dims, in_channels=channels[0], target_channels=channels[1], training=False
    ).eval()
    image = np.random.default_rng(0).random((channels[0], *window)).astype(np.float32)
    with torch.inference_mode():
        output = model(torch.from_numpy(image)[None])[0].numpy()
    sources = tuple(
        ComponentSource(section=section, name=choice.name, plugin=choice.plugin, distribution="im2im-" + choice.plugin)
        for section, choice in config.choices()
    )
    manifest = BundleManifest(
        created="2025-01-31T12:00:00+00:00",
        task="regression",
        spatial_dims=dims,
        axes="CZYX" if dims == 3 else "CYX",
        in_channels=channels[0],
        target_channels=channels[1],
        window=window,
        overlap=overlap,
        components=sources,
        weights_sha256="",
    )
    save_bundle(path, manifest, config, model, (image, output))
    return registry
