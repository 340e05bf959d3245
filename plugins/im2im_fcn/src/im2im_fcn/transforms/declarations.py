"""Transforms as im2im shows them. Loads nothing heavy."""

from __future__ import annotations

from typing import Any

from im2im_core import Transform
from im2im_fcn.transforms.config import (
    MacenkoConfig,
    NormalizeCenterConfig,
    PadToMultipleConfig,
    PadZConfig,
    PerturbConfig,
)


def _center(config: NormalizeCenterConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.transforms.center import NormalizeCenter

    return NormalizeCenter(config, spatial_dims)


def _macenko(config: MacenkoConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.transforms.macenko import Macenko

    return Macenko(config, spatial_dims)


def _pad_to_multiple(config: PadToMultipleConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.transforms.padding import pad_to_multiple

    return pad_to_multiple(config, spatial_dims)


def _pad_z(config: PadZConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.transforms.padding import pad_z

    return pad_z(config, spatial_dims)


def _perturb(config: PerturbConfig, *, spatial_dims: int) -> Any:
    from im2im_fcn.transforms.perturb import Perturb

    return Perturb(config, spatial_dims)


TRANSFORMS: tuple[Transform, ...] = (
    Transform(
        name="normalize-center",
        summary="mean 0 and standard deviation 1 of the planes around the central one (Ounkomol et al. 2018)",
        config=NormalizeCenterConfig,
        factory=_center,
    ),
    Transform(
        name="macenko",
        summary="stains of an RGB image normalised, or separated (Macenko et al. 2009)",
        config=MacenkoConfig,
        factory=_macenko,
    ),
    Transform(
        name="pad-to-multiple",
        summary="pad to a multiple of a number; changes the size, so for augmentation only",
        config=PadToMultipleConfig,
        factory=_pad_to_multiple,
        keeps_size=False,
    ),
    Transform(
        name="pad-z",
        summary="pad to a number of planes; changes the size, so for augmentation only",
        config=PadZConfig,
        factory=_pad_z,
        keeps_size=False,
    ),
    Transform(
        name="perturb",
        summary="random noise, colour jitter, dropout, small shift and rotation of the image alone",
        config=PerturbConfig,
        factory=_perturb,
        random=True,
    ),
)
