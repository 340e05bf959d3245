"""What this plug-in brings. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable

from im2im_core import Loss, Model, Network, Postprocessor, Preset, Transform, hookimpl
from im2im_fcn.auto_network import AUTO
from im2im_fcn.losses.declarations import LOSSES
from im2im_fcn.models import MODELS
from im2im_fcn.networks.declarations import NETWORKS
from im2im_fcn.postprocessing.declarations import POSTPROCESSORS
from im2im_fcn.presets import PRESETS
from im2im_fcn.transforms.declarations import TRANSFORMS

IM2IM_API = 1


@hookimpl
def im2im_networks() -> Iterable[Network]:
    """MONAI's networks and some from their papers."""
    return (*NETWORKS, AUTO)


@hookimpl
def im2im_models() -> Iterable[Model]:
    """One network on pairs, and the probabilistic U-Net."""
    return MODELS


@hookimpl
def im2im_losses() -> Iterable[Loss]:
    """Losses of regions, of images, and regularisers."""
    return LOSSES


@hookimpl
def im2im_transforms() -> Iterable[Transform]:
    """Normalization, stains, padding, perturbation."""
    return TRANSFORMS


@hookimpl
def im2im_postprocessors() -> Iterable[Postprocessor]:
    """From logits to class maps and labels."""
    return POSTPROCESSORS


@hookimpl
def im2im_presets() -> Iterable[Preset]:
    """Settings for kinds of data."""
    return PRESETS
