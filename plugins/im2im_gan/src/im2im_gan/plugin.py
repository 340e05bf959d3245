"""What this plug-in brings. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable

from im2im_core import Discriminator, Model, Network, Preset, hookimpl
from im2im_gan.discriminators.declarations import DISCRIMINATORS
from im2im_gan.models import MODELS
from im2im_gan.networks.declarations import NETWORKS
from im2im_gan.presets import PRESETS

IM2IM_API = 1


@hookimpl
def im2im_networks() -> Iterable[Network]:
    """A generator."""
    return NETWORKS


@hookimpl
def im2im_discriminators() -> Iterable[Discriminator]:
    """PatchGAN at one scale and at several."""
    return DISCRIMINATORS


@hookimpl
def im2im_models() -> Iterable[Model]:
    """With pairs, and without."""
    return MODELS


@hookimpl
def im2im_presets() -> Iterable[Preset]:
    """Settings for kinds of data."""
    return PRESETS
