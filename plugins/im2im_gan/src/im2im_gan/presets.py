"""Settings for kinds of data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from im2im_core import Preset

_PATCH: Mapping[int, Mapping[str, Any]] = {
    2: {"patch_size": 128, "patches_per_image": 16, "batch_size": 2},
    3: {"patch_size": [16, 64, 64], "patches_per_image": 16, "batch_size": 2},
}
# Light enough for a laptop; published ones are twice as wide and deeper.
_GENERATOR: Mapping[int, Mapping[str, Any]] = {
    2: {"name": "resnet-generator", "features": 24, "residual_blocks": 4, "upsample": "nontrainable"},
    3: {"name": "resnet-generator", "features": 16, "residual_blocks": 4, "upsample": "nontrainable"},
}
# That of preset label-free-3d, whose bundle a generator may start from.
_FCN = {"name": "basic-unet", "features": [16, 16, 32, 64, 128, 16], "upsample": "nontrainable", "norm": "batch"}
_JUDGE = {"name": "patch", "features": 24}
_JUDGE_3D = {"name": "patch", "features": 16, "layers": 2}  # a thin stack does not survive three halvings
_JUDGES = {"name": "multi-scale", "features": 24}
_HD = {"feature_matching_weight": 10.0, "reconstruction_weight": 10.0}
_TRAINER = {"max_epochs": 30, "check_val_every_n_epoch": 5}
# Masks and labels alike: whatever is above 0 becomes 1.
_MASKS = [{"name": "AsDiscreted", "keys": ["image"], "threshold": 0.5}]
_STRUCTURES = {"name": "sum", "parts": [{"name": "l1"}, {"name": "pearson", "weight": 0.1}]}


def _paired(dims: int, **model: Any) -> dict[str, Any]:
    return {
        "model": {"name": "pix2pix", **model},
        "network": _GENERATOR[dims],
        "discriminator": _JUDGE if dims == 2 else _JUDGE_3D,
        "dataset": {"name": "paired", **_PATCH[dims]},
        "trainer": _TRAINER,
    }


def _unpaired(dims: int, **model: Any) -> dict[str, Any]:
    return {
        "model": {"name": "cyclegan", **model},
        "network": _GENERATOR[dims],
        "discriminator": _JUDGE if dims == 2 else _JUDGE_3D,
        "dataset": {"name": "unpaired", **_PATCH[dims]},
        "trainer": {**_TRAINER, "keep_best": False},
    }


def _presets() -> Iterator[Preset]:
    yield Preset(
        name="staining-2d",
        summary="one stain or modality into another, 2D pairs: pix2pixHD",
        task="translation",
        settings={**_paired(2, **_HD), "discriminator": _JUDGES, "loss": _STRUCTURES},
    )
    yield Preset(
        name="label-free-3d-pix2pix",
        summary="fluorescence from transmitted light, 3D: pix2pix from scratch",
        task="translation",
        settings=_paired(3),
    )
    yield Preset(
        name="label-free-3d-pix2pix-from-fcn",
        summary="the same, with the generator of preset label-free-3d: add --init-from its bundle",
        task="translation",
        settings={**_paired(3), "network": _FCN},
    )
    for dims in (2, 3):
        yield Preset(
            name=f"synthetic-{dims}d",
            summary=f"masks into images, {dims}D pairs: pix2pix",
            task="generation",
            settings={**_paired(dims, task="generation", reconstruction_weight=10.0), "preprocessing": _MASKS},
        )
        yield Preset(
            name=f"synthetic-unpaired-{dims}d",
            summary=f"masks into images without pairs, {dims}D: CycleGAN",
            task="generation",
            settings={**_unpaired(dims, task="generation"), "preprocessing": _MASKS},
        )
        yield Preset(
            name=f"segmentation-unpaired-{dims}d",
            summary=f"images into masks without pairs, {dims}D: CycleGAN",
            task="semantic-segmentation",
            settings=_unpaired(dims, task="semantic-segmentation"),
        )


PRESETS = tuple(_presets())
