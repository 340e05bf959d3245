"""Settings found to work: of the model, and for a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ALL = ["image", "target", "costmap"]

# Many small steps beat few large ones when time is short: patches hold a dozen objects, the network starts at half the
# size, and one cycle of the learning rate is fitted to the number of steps. Five levels see a large nucleus whole,
# where four split it. The published network, branched-erfnet, costs several times as much per step on a CPU.
DEFAULTS: Mapping[str, Any] = {
    "network": {"name": "residual-unet", "channels": [16, 32, 64, 128, 128], "residual_units": 1, "norm": "batch"},
    "loss": {"name": "spatial-embedding"},
    "dataset": {"name": "paired", "patch_size": 128, "patches_per_image": 4, "batch_size": 8},
    "preprocessing": [{"name": "normalize-percentile", "low": 1.0, "high": 99.8}],
    "augmentation": [
        {"name": "RandRotate90d", "keys": _ALL, "prob": 0.75, "spatial_axes": [-2, -1], "allow_missing_keys": True},
        {"name": "RandFlipd", "keys": _ALL, "prob": 0.5, "spatial_axis": -2, "allow_missing_keys": True},
    ],
    "optimizer": {"name": "adamw", "lr": 4e-3, "weight_decay": 1e-4},
    "scheduler": {"name": "one-cycle", "pct_start": 0.15},
    "trainer": {"name": "lightning", "gradient_clip_val": 1.0},
    "postprocessing": [{"name": "embedseg-clustering"}],
    "metrics": [{"name": "average-precision"}],
}

# Enlarged patches show more of large nuclei; brightness varies from image to image in fluorescence.
NUCLEI_2D: Mapping[str, Any] = {
    **DEFAULTS,
    "model": {"name": "embedseg", "initial_radius": 8.0},
    "loss": {"name": "spatial-embedding", "foreground_weight": 10.0},
    "augmentation": [
        *DEFAULTS["augmentation"],
        {"name": "RandZoomd", "keys": _ALL, "min_zoom": 1.0, "max_zoom": 1.6, "prob": 0.3, "allow_missing_keys": True},
        {"name": "RandScaleIntensityd", "keys": ["image"], "factors": 0.3, "prob": 0.5},
        {"name": "RandShiftIntensityd", "keys": ["image"], "offsets": 0.1, "prob": 0.5},
        {"name": "RandGaussianNoised", "keys": ["image"], "std": 0.05, "prob": 0.2},
    ],
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 12, "check_val_every_n_epoch": 2},
    "postprocessing": [{"name": "embedseg-clustering", "seed_threshold": 0.8, "min_object_size": 15}],
}
