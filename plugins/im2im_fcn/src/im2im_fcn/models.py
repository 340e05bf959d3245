"""Declarations of the models. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from im2im_core import Model
from im2im_fcn.config import FcnConfig, ProbabilisticConfig
from im2im_fcn.data_plan import plan_model

ALL = ["image", "target", "costmap"]
DEFAULTS: Mapping[str, Any] = {
    "network": {"name": "unet"},
    "loss": {"name": "mse"},
    "dataset": {"name": "paired", "patches_per_image": 8, "batch_size": 8},
    "augmentation": [
        {"name": "RandFlipd", "keys": ALL, "prob": 0.5, "spatial_axis": -1, "allow_missing_keys": True},
        {"name": "RandFlipd", "keys": ALL, "prob": 0.5, "spatial_axis": -2, "allow_missing_keys": True},
    ],
    "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 1e-4},
    "scheduler": {"name": "one-cycle", "pct_start": 0.15},
    "trainer": {"name": "lightning", "gradient_clip_val": 1.0},
    "metrics": [{"name": "pearson"}, {"name": "psnr"}],
}
CLASSES: Mapping[str, Any] = {
    "loss": {"name": "dice-focal"},
    "postprocessing": [{"name": "class-map"}],
    "metrics": [{"name": "dice"}],
}
TASK_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "semantic-segmentation": CLASSES,
    "restoration": {"metrics": [{"name": "psnr"}, {"name": "ssim"}]},
    "regression": {"metrics": [{"name": "mae"}]},
}


# What the core hands to a model goes on as it is.
def _fcn(config: FcnConfig, **parts: Any) -> Any:
    from im2im_fcn.fcn import Fcn

    return Fcn(config, **parts)


def _probabilistic(config: ProbabilisticConfig, **parts: Any) -> Any:
    from im2im_fcn.probabilistic import ProbabilisticUNet

    return ProbabilisticUNet(config, **parts)


MODELS = (
    Model(
        name="fcn",
        summary="One network on pairs: images, classes or a number (--task)",
        config=FcnConfig,
        factory=_fcn,
        task="translation",
        defaults=DEFAULTS,
        task_defaults=TASK_DEFAULTS,
        plan=plan_model,
    ),
    Model(
        name="probabilistic-unet",
        summary="Many plausible results of one image (Kohl et al. 2018), with any network (--task)",
        config=ProbabilisticConfig,
        factory=_probabilistic,
        task="translation",
        defaults=DEFAULTS,
        task_defaults=TASK_DEFAULTS,
        plan=plan_model,
    ),
)
