"""`--network auto`: a DynUNet, its patch and its batch planned from the data. Loads no torch.

Isensee et al., Nature Methods 18, 203 (2021): as deep as the patch allows, coarse axes pooled later, and the patch as
large as memory allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import Field

from im2im_core import ComponentConfig, ConfigError, DataFacts, DataSurvey, Network
from im2im_fcn.networks.planning import Topology, plan_topology

# Bytes per pixel and channel of the first level in training, for the activations of all levels, their gradients, and
# what normalization and convolution keep beside them. Measured: benchmarks/planned_memory.py.
BYTES_PER_FEATURE = 4 * 24
BYTES_PER_WEIGHT = 4 * 4  # itself, its gradient, two moments of the optimizer
FULL_PATCH = {2: 512, 3: 128}
LEAST_BATCH = 2


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
    given = run.dataset.config.patch_size if "dataset.patch_size" in run.given else None
    if given is not None:
        fixed = (given,) * facts.spatial_dims if isinstance(given, int) else tuple(given)
        plan = plan_step(fixed, spacing, config)
    else:
        plan = largest_step(found.median_shape, spacing, config)
    network = {
        "name": "dynunet",
        "strides": [list(step) for step in plan.topology.strides],
        "kernels": [list(size) for size in plan.topology.kernels],
        "filters": list(plan.filters),
    }
    return {"network": network, "dataset": {"patch_size": list(plan.patch), "batch_size": plan.batch}}


@dataclass(frozen=True, slots=True)
class Step:
    """A training step, and the bytes that it is estimated to take with its least batch."""

    patch: tuple[int, ...]
    batch: int
    topology: Topology
    filters: tuple[int, ...]
    least_bytes: float


def largest_step(shape: tuple[int, ...], spacing: Sequence[float], config: AutoConfig) -> Step:
    """The median image, cut down on its longest axis until a batch fits; multiples of 8 where that leaves enough."""
    most = FULL_PATCH[len(shape)]
    patch = [min(length, most) for length in shape]
    while True:
        plan = plan_step(tuple(length // 8 * 8 if length >= 16 else length for length in patch), spacing, config)
        if plan.least_bytes <= config.memory_gb * 1e9 or max(patch) <= 16:
            return plan
        longest = patch.index(max(patch))
        patch[longest] = max(16, patch[longest] * 3 // 4)


def plan_step(patch: tuple[int, ...], spacing: Sequence[float], config: AutoConfig) -> Step:
    """Levels and channels for a patch, and as many patches as memory allows: at least 2, and no more than 16."""
    topology = plan_topology(patch, spacing, config.memory_gb)
    filters = [max(1, round(count * config.filters / 32)) for count in topology.filters]
    filters = [min(count, config.most_filters) for count in filters] if config.most_filters else filters
    weights = BYTES_PER_WEIGHT * count_weights(filters, len(patch))
    one = math.prod(patch) * filters[0] * BYTES_PER_FEATURE
    batch = min(16, max(LEAST_BATCH, int((config.memory_gb * 1e9 - weights) // one)))
    return Step(patch, batch, topology, tuple(filters), weights + LEAST_BATCH * one)


def count_weights(filters: Sequence[int], dims: int) -> int:
    """Of two convolutions of 3 pixels per level on the way down and up, and of one of 2 pixels to each level above."""
    kernel: int = 3**dims
    down = sum(kernel * (before * here + here * here) for before, here in zip((1, *filters), filters, strict=False))
    up: int = sum(
        2**dims * deeper * here + kernel * (2 * here * here + here * here) for here, deeper in pairwise(filters)
    )
    return down + up


def _refuse(config: AutoConfig, *, spatial_dims: int) -> Any:
    raise ConfigError("network 'auto' is planned from training data", "train with it; the bundle holds the network")


AUTO = Network(
    name="auto",
    summary="DynUNet whose levels, kernels, patch and batch are planned from the data (Isensee et al. 2021)",
    config=AutoConfig,
    factory=_refuse,
    plan=plan_network,
)
