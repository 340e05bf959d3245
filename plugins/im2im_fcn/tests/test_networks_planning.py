"""Levels planned from patch size and spacing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from im2im_fcn.networks.declarations import NETWORKS
from im2im_fcn.networks.planning import Topology, plan_topology

INDEX = Path(__file__).resolve().parents[3].parent / "shared" / "golden" / "index.json"


def as_lists(plan: Topology) -> dict[str, Any]:
    return json.loads(json.dumps(plan._asdict()))


def test_golden_table() -> None:
    if not INDEX.is_file():
        pytest.skip("the reference values are not part of the repository")
    table = next(case["table"] for case in json.loads(INDEX.read_text())["cases"] if case["name"] == "nnunet_plans")
    compared = 0
    for row in table:
        plan = plan_topology(row["patch_size"], row["spacing"], row["vram_gb"], published_kernels=False)
        if "error" in row:
            assert len(plan.strides) == 1
            continue
        assert as_lists(plan) == {key: row[key] for key in ("strides", "kernels", "filters", "upsample")}
        compared += 1
    assert compared >= 45


def test_one_level_when_no_axis_can_be_halved() -> None:
    assert plan_topology((8, 8), (1, 1), 8) == (((1, 1),), ((3, 3),), (32,), ())


def test_quirk_published_kernels_are_1_until_voxels_are_isotropic() -> None:
    plan = plan_topology((32, 256, 256), (5, 1, 1), 8)
    reference = plan_topology((32, 256, 256), (5, 1, 1), 8, published_kernels=False)
    assert [kernel[0] for kernel in plan.kernels] == [1, 1, 3, 3, 3, 3]
    assert {kernel[1:] for kernel in plan.kernels} == {(3, 3)}
    assert {kernel[0] for kernel in reference.kernels} == {3}
    assert plan.strides == reference.strides


def test_an_axis_keeps_its_kernel_when_it_is_too_short_to_be_halved() -> None:
    plan = plan_topology((16, 128, 128), (3, 1, 1), 8)
    assert [kernel for kernel in plan.kernels if kernel != (3, 3, 3)] == [(1, 3, 3)]


@pytest.mark.parametrize(
    ("patch_size", "spacing", "memory"),
    [((8, 8), (1,), 8), ((8,), (1,), 8), ((8, 0), (1, 1), 8), ((8, 8), (1, 0), 8), ((8, 8), (1, 1), 0)],
)
def test_impossible_input_is_refused(patch_size: Any, spacing: Any, memory: float) -> None:
    with pytest.raises(ValueError, match=r"must (both have|be positive)"):
        plan_topology(patch_size, spacing, memory)


@pytest.mark.parametrize(
    ("patch_size", "spacing"), [((8, 8), (1, 1)), ((20, 12), (1, 1)), ((64, 20), (1, 4)), ((9, 32, 40), (4, 1, 1))]
)
def test_dynunet_takes_every_plan(patch_size: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    plan = plan_topology(patch_size, spacing, 8)
    dynunet = next(network for network in NETWORKS if network.name == "dynunet")
    narrow = [4] * len(plan.filters)
    config = dynunet.config.model_validate({"strides": plan.strides, "kernels": plan.kernels, "filters": narrow})
    module = dynunet.factory(config, spatial_dims=len(patch_size), in_channels=1, out_channels=2)
    assert module(torch.randn(1, 1, *patch_size)).shape == (1, 2, *patch_size)
    assert module.multiple == tuple(torch.tensor(plan.strides).prod(dim=0).tolist())
