"""Stored computations of losses, and how their parameters are called here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[3].parent / "shared" / "golden"


def golden(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Arrays and parameters of a stored computation; skips the test where there are none."""
    if not (GOLDEN / f"{name}.npz").is_file():
        pytest.skip("golden vectors are not part of the repository")
    cases = json.loads((GOLDEN / "index.json").read_text())["cases"]
    params = next(case.get("params", {}) for case in cases if case["name"] == name)
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}, params


def compare(
    arrays: dict[str, Tensor],
    case: str,
    loss: Callable[[Tensor, Tensor], Tensor],
    classes: int,
    rtol: float = 1e-4,
    gradient: float = 3e-4,
) -> None:
    """Value within a relative tolerance, gradient within one relative to its largest entry."""
    logits = arrays[f"logits_c{classes}"].clone().requires_grad_()
    value = loss(logits, arrays[f"target_c{classes}"])
    torch.testing.assert_close(value.detach().float(), arrays[f"value_{case}"].float(), rtol=rtol, atol=1e-6)
    value.backward()
    expected = arrays[f"grad_{case}"]
    torch.testing.assert_close(logits.grad, expected, rtol=0, atol=gradient * max(float(expected.abs().max()), 1e-9))


METRICS = {"smooth_l1": "smooth-l1", "log_cosh": "log-cosh", "wasserstein": "sorted"}
FEATURES = {"all": (0, 1), "cc": (0,), "holes": (1,)}


def connectivity(params: dict[str, Any]) -> dict[str, Any]:
    """Settings of `connectivity-coherence`."""
    windows = {"multiscale-linear": "linear", "multiscale-exp": "exponential"}
    names = {
        "lambda_gradient": "edge_weight",
        "lambda_density": "density_weight",
        "metric_gradient": "edge_metric",
        "metric_density": "density_metric",
        "connectivity_kernel_size": "size",
        "kernel_shape": "window",
    }
    settings = {names[key]: value for key, value in params.items() if key in names}
    if "connectivity_mode" in params:
        settings["windows"] = windows[params["connectivity_mode"]]
    return settings | {"include_background": not params.get("ignore_background", True)}


def hausdorff(params: dict[str, Any]) -> dict[str, Any]:
    """Settings of `hausdorff`."""
    return {
        "iterations": params.get("dt_iterations", "auto"),
        "distance": "plain" if params.get("distance_mode") == "l1" else "squared",
        "normalize": params.get("normalize_weights", True),
    }


def topological_interaction(params: dict[str, Any]) -> dict[str, Any]:
    """Settings of `topological-interaction`."""
    return {
        "inclusion": params["inclusion"],
        "exclusion": params["exclusion"],
        "neighbors": "faces" if params["connectivity"] in (4, 6) else "all",
        "thickness": params["min_thick"],
        "reduction": "sum",
    }


def homology(params: dict[str, Any]) -> dict[str, Any]:
    """Settings of `persistent-homology`."""
    return {
        "dimensions": FEATURES[params.get("features", "all")],
        "metric": METRICS.get(params.get("metric", "smooth_l1"), params.get("metric")),
        "resolution": params["resolution"][0],
        "sigma": params.get("sigma", 0.05),
        "width": "separate" if params.get("adaptive_sigma", True) else "fixed",
        "threshold": params.get("threshold", 0.01),
    }


def complexity(params: dict[str, Any]) -> dict[str, Any]:
    """Settings of `topological-complexity`."""
    settings = {key: params[key] for key in ("temperature", "threshold") if key in params}
    metric = params.get("metric", "wasserstein")
    return settings | {
        "dimensions": FEATURES[params.get("features", "all")],
        "metric": METRICS.get(metric, metric),
        "normalize": params.get("normalize_lifetimes", True),
        "balance": params.get("auto_balance", True),
        "padded": True,
        "most": params.get("k_top", 2000),
    }
