"""Memory layout and compilation of a model while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def convert_layout(model: nn.Module, *, channels_last: bool) -> None:
    """Lay out the weights of convolutions, which decides about the layout of what they compute."""
    formats: dict[Callable[..., Any], torch.memory_format] = {
        nn.Conv2d: torch.channels_last,
        nn.ConvTranspose2d: torch.channels_last,
        nn.Conv3d: torch.channels_last_3d,
        nn.ConvTranspose3d: torch.channels_last_3d,
    }
    for module in model.modules():
        memory_format = formats.get(type(module))
        if memory_format is not None:
            module.to(memory_format=memory_format if channels_last else torch.contiguous_format)  # type: ignore[call-overload]


def compile_networks(model: nn.Module) -> list[nn.Module]:
    """Compile the networks in place; names of weights stay. The training step around them logs, and is left alone."""
    networks = [child for child in model.children() if any(True for _ in child.parameters())]
    for network in networks:
        network.compile()
    return networks


def restore(model: nn.Module, networks: list[nn.Module], *, channels_last: bool) -> None:
    """Leave the model as it was given: not compiled, in the ordinary layout."""
    for network in networks:
        network._compiled_call_impl = None
    if channels_last:
        convert_layout(model, channels_last=False)
