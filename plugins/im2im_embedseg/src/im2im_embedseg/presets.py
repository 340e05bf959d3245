"""Settings found to work: of the model, and for a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ALL = ["image", "target", "costmap"]


def _on_all(name: str, **settings: Any) -> dict[str, Any]:
    """A transform of the image together with its target and, where there is one, its cost map."""
    return {"name": name, "keys": _ALL, **settings, "allow_missing_keys": True}


def _on_image(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "keys": ["image"], **settings}


# Many small steps beat few large ones when time is short: patches hold a dozen objects, the network starts at half the
# size, and one cycle of the learning rate is fitted to the number of steps. Five levels see a large nucleus whole,
# where four split it. The published network, branched-erfnet, costs several times as much per step on a CPU.
DEFAULTS: Mapping[str, Any] = {
    "network": {"name": "residual-unet", "channels": [16, 32, 64, 128, 128], "residual_units": 1, "norm": "batch"},
    "loss": {"name": "spatial-embedding"},
    "dataset": {"name": "paired", "patch_size": 128, "patches_per_image": 4, "batch_size": 8},
    "preprocessing": [{"name": "normalize-percentile", "low": 1.0, "high": 99.8}],
    "augmentation": [
        _on_all("RandRotate90d", prob=0.75, spatial_axes=[-2, -1]),
        _on_all("RandFlipd", prob=0.5, spatial_axis=-2),
    ],
    "optimizer": {"name": "adamw", "lr": 4e-3, "weight_decay": 1e-4},
    "scheduler": {"name": "one-cycle", "pct_start": 0.15},
    "trainer": {"name": "lightning", "gradient_clip_val": 1.0},
    "postprocessing": [{"name": "embedseg-clustering"}],
    "metrics": [{"name": "average-precision"}],
}

# Brightness and contrast differ from image to image, in fluorescence above all.
_FLUORESCENCE = [
    _on_image("RandScaleIntensityd", factors=0.3, prob=0.5),
    _on_image("RandShiftIntensityd", offsets=0.1, prob=0.5),
    _on_image("RandGaussianNoised", std=0.05, prob=0.2),
]

# Enlarged patches show more of large nuclei.
NUCLEI_2D: Mapping[str, Any] = {
    **DEFAULTS,
    "model": {"name": "embedseg", "initial_radius": 8.0},
    "loss": {"name": "spatial-embedding", "foreground_weight": 10.0},
    "augmentation": [
        *DEFAULTS["augmentation"],
        _on_all("RandZoomd", min_zoom=1.0, max_zoom=1.6, prob=0.3),
        *_FLUORESCENCE,
    ],
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 12, "check_val_every_n_epoch": 2},
    "postprocessing": [{"name": "embedseg-clustering", "seed_threshold": 0.8, "min_object_size": 15}],
}

# A worm's centroid may lie beside the worm: offsets aim at its medoid instead. A patch holds a whole one.
WORMS_2D: Mapping[str, Any] = {
    **DEFAULTS,
    "model": {"name": "embedseg", "initial_radius": 20.0},
    "loss": {"name": "spatial-embedding", "center": "approximate-medoid"},
    "dataset": {
        "name": "instances",
        "patch_size": 256,
        "patches_per_image": 16,
        "batch_size": 4,
        "center": "approximate-medoid",
    },
    "augmentation": [
        *DEFAULTS["augmentation"],
        _on_image("RandScaleIntensityd", factors=0.2, prob=0.5),
        _on_image("RandShiftIntensityd", offsets=0.1, prob=0.5),
    ],
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 60, "check_val_every_n_epoch": 5},
    "postprocessing": [{"name": "embedseg-clustering", "min_object_size": 200}],
}

# Planes are not turned into rows: a stack looks different along the optical axis.
_TURNS_3D = [
    _on_all("RandFlipd", prob=0.5, spatial_axis=0),
    _on_all("RandFlipd", prob=0.5, spatial_axis=1),
    _on_all("RandRotate90d", prob=0.75, spatial_axes=[1, 2]),
]

# Stacks are few and noisy, so they are changed more than images are. Five levels see a nucleus of 30 voxels whole.
NUCLEI_3D: Mapping[str, Any] = {
    **DEFAULTS,
    "model": {"name": "embedseg", "initial_radius": 10.0},
    "loss": {"name": "spatial-embedding", "center": "approximate-medoid", "foreground_weight": 10.0},
    "dataset": {
        "name": "instances",
        "patch_size": 48,
        "patches_per_image": 40,
        "batch_size": 4,
        "center": "approximate-medoid",
    },
    "augmentation": [
        *_TURNS_3D,
        _on_all("RandZoomd", min_zoom=1.0, max_zoom=1.5, prob=0.3),
        *_FLUORESCENCE[:2],
        _on_image("RandGaussianNoised", std=0.1, prob=0.5),
    ],
    "optimizer": {**DEFAULTS["optimizer"], "lr": 3e-3, "weight_decay": 1e-2},
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 13, "check_val_every_n_epoch": 2},
    "postprocessing": [{"name": "embedseg-clustering", "min_object_size": 100, "halo": 48}],
}

# In transmitted light a nucleus is known by what surrounds it, and contrast changes with focus. Targets come from a
# stain that not all nuclei take, so cost maps matter: what is 0 there teaches nothing.
NUCLEI_3D_BRIGHTFIELD: Mapping[str, Any] = {
    **NUCLEI_3D,
    "model": {"name": "embedseg"},
    "loss": {"name": "spatial-embedding", "center": "approximate-medoid"},
    "dataset": {**NUCLEI_3D["dataset"], "patch_size": [32, 96, 96], "patches_per_image": 20, "batch_size": 2},
    "augmentation": [
        *_TURNS_3D,
        _on_image("RandAdjustContrastd", gamma=[0.7, 1.5], prob=0.3),
        _on_image("RandShiftIntensityd", offsets=0.1, prob=0.5),
        _on_image("RandGaussianNoised", std=0.03, prob=0.2),
    ],
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 100, "check_val_every_n_epoch": 5},
}

# The second of two stages: few careful targets after many rough ones. Patches lie anywhere, so that background counts
# with its true share, and the rate only falls.
NUCLEI_3D_BRIGHTFIELD_FINETUNE: Mapping[str, Any] = {
    **NUCLEI_3D_BRIGHTFIELD,
    "dataset": {**NUCLEI_3D_BRIGHTFIELD["dataset"], "object_fraction": 0.5},
    "optimizer": {**DEFAULTS["optimizer"], "lr": 3e-4},
    "scheduler": {"name": "polynomial", "power": 0.9},
    "trainer": {**DEFAULTS["trainer"], "max_epochs": 40, "check_val_every_n_epoch": 2},
}
