"""Settings for kinds of data, each with four ways to learn them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from im2im_core import Preset

_LIGHT = {"name": "unet"}
# Transposed convolutions leave a grid, which classes hide and images show.
_SMOOTH = {"name": "basic-unet", "features": [16, 16, 32, 64, 128, 16], "upsample": "nontrainable", "norm": "batch"}
# Many small steps: with a few images an epoch would else be over after ten of them.
_NOISE_2D = {"patch_size": 96, "patches_per_image": 32, "batch_size": 4}
# The error alone is least for a blank image where bright structures are rare; correlation asks for the structures.
_STRUCTURES = {"name": "sum", "parts": [{"name": "mse"}, {"name": "pearson", "weight": 0.1}]}
_FAST_2D = {"patch_size": 128, "patches_per_image": 16, "batch_size": 8}
_FAST_3D = {"patch_size": [16, 64, 64], "patches_per_image": 16, "batch_size": 4}
_EPOCHS = {"max_epochs": 30, "check_val_every_n_epoch": 3}
_REGULARIZED = {
    "name": "sum",
    "parts": [
        {"name": "dice-focal"},
        {"name": "connectivity-coherence", "weight": 0.1, "warmup_epochs": 5},
        {"name": "hausdorff", "weight": 0.1, "warmup_epochs": 5, "scale": 0.5},
    ],
}

# name: (task, what it is for, dataset, more settings)
_TASKS: Mapping[str, tuple[Any, str, Mapping[str, Any], Mapping[str, Any]]] = {
    "label-free-2d": ("translation", "fluorescence from transmitted light, 2D", _FAST_2D, {"loss": _STRUCTURES}),
    "label-free-3d": ("translation", "fluorescence from transmitted light, 3D", _FAST_3D, {"loss": _STRUCTURES}),
    "semantic-2d": (
        "semantic-segmentation",
        "classes in 2D, in stained tissue (histology) or electron microscopy",
        _FAST_2D,
        {},
    ),
    "semantic-3d": ("semantic-segmentation", "classes in 3D volumes", _FAST_3D, {}),
    "denoise-2d": ("restoration", "noisy to clean, 2D", _NOISE_2D, {"loss": _STRUCTURES}),
    "denoise-3d": ("restoration", "noisy to clean, 3D", _FAST_3D, {"loss": _STRUCTURES}),
    "modality-2d": ("translation", "one modality or stain into another, 2D", _FAST_2D, {"loss": _STRUCTURES}),
    "modality-3d": ("translation", "one modality into another, 3D", _FAST_3D, {"loss": _STRUCTURES}),
}


def _presets() -> Iterator[Preset]:
    for name, (task, purpose, dataset, more) in _TASKS.items():
        model = {"name": "fcn", "task": task}
        common = {"model": model, "trainer": _EPOCHS, **more}
        # A patch of the planner's own choice, as large as memory allows, is the point of planning.
        planned = {"patches_per_image": dataset["patches_per_image"]}
        regularized = {"loss": _REGULARIZED} if task == "semantic-segmentation" else {}
        light = _LIGHT if task == "semantic-segmentation" else _SMOOTH
        attention = {"name": "attention-unet"}
        ways: dict[str, tuple[str, dict[str, Any]]] = {
            name: ("a light U-Net", {"network": light, "dataset": dataset}),
            f"{name}-nnunet": ("DynUNet planned from the data", {"network": {"name": "auto"}, "dataset": planned}),
            f"{name}-attention": (
                "attention U-Net" + (" with regularisers" if regularized else ""),
                {"network": attention, "dataset": dataset, **regularized},
            ),
            f"{name}-probabilistic": (
                "probabilistic U-Net",
                {"network": light, "dataset": dataset, "model": {**model, "name": "probabilistic-unet"}},
            ),
        }
        for full_name, (way, settings) in ways.items():
            yield Preset(name=full_name, summary=f"{purpose}: {way}", task=task, settings={**common, **settings})
    yield Preset(
        name="regression-2d",
        summary="one number per image, 2D: mean over the output of a light U-Net",
        task="regression",
        settings={
            "model": {"name": "fcn", "task": "regression"},
            "network": _LIGHT,
            "dataset": _FAST_2D,
            "trainer": _EPOCHS,
        },
    )


PRESETS = tuple(_presets())
