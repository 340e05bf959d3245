"""Several predictions of one image: by flips and turns, small changes of the image, dropout, or a model's own samples.

Loads torch. A sample is a forward pass with a variation that is the same for all windows of the image, so that the
windows fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from im2im_core.errors import ConfigError

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

Forward = Callable[[Tensor], Tensor]


def check_source(source: str, model: nn.Module) -> None:
    """Refuse a source that this model has not.

    Raises:
        ConfigError: no dropout, or no `sampler`.
    """
    if source == "dropout" and not active_dropout(model):
        raise ConfigError(
            "the model has no dropout, so all of its predictions are equal",
            "train it with dropout, for instance --set network.dropout=0.2, or choose another --uncertainty",
        )
    if source == "samples" and not hasattr(model, "sampler"):
        raise ConfigError(
            "the model has one result for an image and draws no samples",
            "train 'probabilistic-unet', or choose another --uncertainty",
        )


def forwards(source: str, model: LightningModule, count: int, *, seed: int, strength: float) -> Iterator[Forward]:
    """One forward pass after the other; each is to be used up before the next is asked for.

    Args:
        source: a name of `uncertainty.SOURCES`, but not an ensemble.
        model: in evaluation mode; left as it was.
        count: how many; at most 8 for flips and turns.
        seed: of the random sources.
        strength: of a perturbation.
    """
    if source == "test-time-augmentation":
        for index in range(count):
            yield turned(model, index)
        return
    for index in range(count):
        generator = torch.Generator().manual_seed(seed + index)
        if source == "perturbation":
            yield perturbed(model, strength, generator)
        elif source == "samples":
            yield model.sampler(generator)
        else:
            with dropping(model, seed + index):
                yield model


def turned(model: Forward, index: int) -> Forward:
    """One of the 8 flips and quarter turns in the plane (0: none), undone on the result (B, K, [Z,] Y, X).

    Pixels are moved back, and where channels have directions, `undo` of the model turns these.
    """
    flip, turns = index >= 4, index % 4
    undo: Callable[..., Tensor] | None = getattr(model, "undo", None)

    def forward(image: Tensor) -> Tensor:
        changed = torch.rot90(image.flip(-1) if flip else image, turns, (-2, -1))
        back = torch.rot90(model(changed), -turns, (-2, -1))
        back = back.flip(-1) if flip else back
        return undo(back, turns=turns, flip=flip) if undo else back

    return forward


def perturbed(model: Forward, strength: float, generator: torch.Generator) -> Forward:
    """Contrast and brightness changed by one draw, noise by one for each pixel, all in shares of the contrast.

    Args:
        model: the forward pass.
        strength: 0.1: contrast and brightness by up to a tenth, noise of a standard deviation of a tenth.
        generator: on the CPU, where it gives the same numbers for every device.
    """
    contrast, brightness = ((torch.rand(2, generator=generator) * 2 - 1) * strength).tolist()

    def forward(image: Tensor) -> Tensor:
        axes = tuple(range(2, image.ndim))
        # Of one window, as no window knows the whole image; preprocessing has brought images to like contrast.
        spread = image.std(axes, keepdim=True)
        noise = torch.randn(image.shape, generator=generator).to(image) * strength
        return model(image * (1 + contrast) + (brightness + noise) * spread)

    return forward


def active_dropout(model: nn.Module) -> list[Any]:
    """Dropout layers that would drop something in training."""
    layers = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    return [layer for layer in model.modules() if isinstance(layer, layers) and layer.p > 0]


@contextmanager
def dropping(model: nn.Module, seed: int) -> Iterator[None]:
    """Dropout at work, and nothing else as in training (Gal & Ghahramani, ICML 2016)."""
    layers = active_dropout(model)
    cuda = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()
