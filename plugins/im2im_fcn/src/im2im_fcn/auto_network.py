"""`--network auto`: a DynUNet, its patch and its batch planned from the data. Loads no torch.

Isensee et al., Nature Methods 18, 203 (2021): as deep as the patch allows, coarse axes pooled later, and the patch as
large as memory allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from im2im_core import ComponentConfig, ConfigError, DataFacts, DataSurvey, Network
from im2im_fcn.networks.planning import plan_topology

# Bytes per pixel and feature channel of a two-convolution level in training: activations, their gradients, norm.
BYTES_PER_FEATURE = 4 * 6
FULL_PATCH = {2: 512, 3: 128}


class AutoConfig(ComponentConfig):
    """Settings of `auto`."""

    memory_gb: float = Field(default=8.0, gt=0, description="memory of the device in gigabyte that a step may use")
    filters: int = Field(default=32, ge=1, description="channels of the first level")
    most_filters: int | None = Field(default=None, ge=1, description="limit of channels; null: by memory")


def plan_network(run: Any, facts: DataFacts, survey: Callable[[], DataSurvey]) -> Mapping[str, Any]:
    """A `dynunet` with all settings, and patch and batch size of the data set."""
    config: AutoConfig = run.network.config
    found = survey()
    spacing = [found.pixel_size.get(axis, 1.0) for axis in "ZYX"[-facts.spatial_dims :]]
    patch = choose_patch(found.median_shape, config.memory_gb, config.filters)
    given = run.dataset.config.patch_size if "dataset.patch_size" in run.given else None
    if given is not None:
        patch = (given,) * facts.spatial_dims if isinstance(given, int) else tuple(given)
    topology = plan_topology(patch, spacing, config.memory_gb)
    share = config.filters / 32
    filters = [max(1, round(count * share)) for count in topology.filters]
    filters = [min(count, config.most_filters) for count in filters] if config.most_filters else filters
    network = {
        "name": "dynunet",
        "strides": [list(step) for step in topology.strides],
        "kernels": [list(size) for size in topology.kernels],
        "filters": filters,
    }
    batch = choose_batch(patch, config.memory_gb, config.filters)
    return {"network": network, "dataset": {"patch_size": list(patch), "batch_size": batch}}


def choose_patch(shape: tuple[int, ...], memory_gb: float, filters: int = 32) -> tuple[int, ...]:
    """The median image, cut down on its longest axis until two patches fit; multiples of 8 where that leaves enough."""
    most = FULL_PATCH[len(shape)]
    patch = [min(length, most) for length in shape]
    while 2 * step_bytes(patch, filters) > memory_gb * 1e9 and max(patch) > 16:
        longest = patch.index(max(patch))
        patch[longest] = max(16, patch[longest] * 3 // 4)
    return tuple(length // 8 * 8 if length >= 16 else length for length in patch)


def choose_batch(patch: tuple[int, ...], memory_gb: float, filters: int = 32) -> int:
    """At least 2, as many as memory allows, and no more than 16."""
    return min(16, max(2, int(memory_gb * 1e9 // step_bytes(patch, filters))))


def step_bytes(patch: tuple[int, ...] | list[int], filters: int) -> float:
    """Memory of a training step on one patch; deeper levels add about as much as the first."""
    return 2.0 * math.prod(patch) * filters * BYTES_PER_FEATURE


def _refuse(config: AutoConfig, *, spatial_dims: int) -> Any:
    raise ConfigError("network 'auto' is planned from training data", "train with it; the bundle holds the network")


AUTO = Network(
    name="auto",
    summary="DynUNet whose levels, kernels, patch and batch are planned from the data (Isensee et al. 2021)",
    config=AutoConfig,
    factory=_refuse,
    plan=plan_network,
)
