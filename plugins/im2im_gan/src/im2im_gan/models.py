"""Declarations of the models. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from im2im_core import Model
from im2im_gan.config import CycleGanConfig, Pix2PixConfig
from im2im_gan.data_plan import plan_cyclegan, plan_pix2pix

ALL = ["image", "target", "costmap"]
DEFAULTS: Mapping[str, Any] = {
    "network": {"name": "resnet-generator"},
    "discriminator": {"name": "patch"},
    "loss": {"name": "l1"},
    "dataset": {"name": "paired", "patches_per_image": 8, "batch_size": 1},
    "augmentation": [
        {"name": "RandFlipd", "keys": ALL, "prob": 0.5, "spatial_axis": -1, "allow_missing_keys": True},
        {"name": "RandFlipd", "keys": ALL, "prob": 0.5, "spatial_axis": -2, "allow_missing_keys": True},
    ],
    "optimizer": {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]},
    "scheduler": {"name": "polynomial", "power": 1.0, "interval": "epoch"},
    "trainer": {"name": "lightning", "preview_every_n_epochs": 5},
    "metrics": [{"name": "pearson"}, {"name": "psnr"}],
}
MASKS: Mapping[str, Any] = {"postprocessing": [{"name": "class-map"}], "metrics": [{"name": "dice"}]}
# Image and target are no pair: figures of one against the other mean nothing, and so does the best epoch by them.
UNPAIRED: Mapping[str, Any] = {
    **DEFAULTS,
    "dataset": {"name": "unpaired", "patches_per_image": 8, "batch_size": 1},
    "trainer": {"name": "lightning", "preview_every_n_epochs": 5, "keep_best": False},
    "metrics": [],
}


# What the core hands to a model goes on as it is.
def _pix2pix(config: Pix2PixConfig, **parts: Any) -> Any:
    from im2im_gan.pix2pix import Pix2Pix

    return Pix2Pix(config, **parts)


def _cyclegan(config: CycleGanConfig, **parts: Any) -> Any:
    from im2im_gan.cyclegan import CycleGan

    return CycleGan(config, **parts)


MODELS = (
    Model(
        name="pix2pix",
        summary="A generator on pairs, against a discriminator (Isola et al. 2017); pix2pixHD by its settings",
        config=Pix2PixConfig,
        factory=_pix2pix,
        task="translation",
        defaults=DEFAULTS,
        task_defaults={"semantic-segmentation": MASKS},
        adversarial=True,
        plan=plan_pix2pix,
    ),
    Model(
        name="cyclegan",
        summary="Two kinds of images without pairs, there and back (Zhu et al. 2017)",
        config=CycleGanConfig,
        factory=_cyclegan,
        task="translation",
        defaults=UNPAIRED,
        task_defaults={"semantic-segmentation": MASKS},
        adversarial=True,
        plan=plan_cyclegan,
    ),
)
