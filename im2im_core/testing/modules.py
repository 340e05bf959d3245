"""Checks of networks, discriminators and losses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from im2im_core.components import Component
from im2im_core.testing.checks import Subject, require
from im2im_core.testing.toy_data import PIXELS, disc_image, target_for

LONGEST = 10.0
LOSS_SIZE = {2: (96, 96), 3: (24, 48, 48)}
IMAGE_TASKS = ("restoration", "translation", "generation", "regression")


def of_component(component: Component) -> list[Callable[[Subject], None]]:
    """Those of its kind."""
    if component.kind == "network":
        return [check_keeps_the_size, check_is_the_same_twice, check_has_gradients, check_time]
    if component.kind == "discriminator":
        return [check_judges]
    if component.kind == "loss" and _loss_tasks(component):
        return [check_is_a_number, check_is_differentiable, check_is_least_at_the_target, check_cost_map]
    return []


def check_keeps_the_size(subject: Subject) -> None:
    """(B, C, [Z,] Y, X) becomes (B, K, [Z,] Y, X) with odd lengths too."""
    import torch

    for dims in subject.component.spatial_dims:
        with torch.inference_mode():
            output = _network(subject, dims)(_batch(dims))
        require(isinstance(output, torch.Tensor), f"in {dims}D '{type(output).__name__}' comes out, not a tensor")
        expected = (2, 3, *PIXELS[dims])
        require(tuple(output.shape) == expected, f"in {dims}D {tuple(output.shape)} comes out, not {expected}")


def check_is_the_same_twice(subject: Subject) -> None:
    """In eval mode the output depends on the input alone, not on the rest of the batch, and is finite."""
    import torch

    for dims in subject.component.spatial_dims:
        network, batch = _network(subject, dims), _batch(dims)
        with torch.inference_mode():
            first, second, alone = network(batch), network(batch), network(batch[:1])
        require(torch.isfinite(first).all(), f"in {dims}D not all numbers are finite")
        require(torch.equal(first, second), f"in {dims}D a second pass gives something else")
        require(torch.allclose(first[:1], alone, atol=1e-4), f"in {dims}D an image depends on others in its batch")


def check_has_gradients(subject: Subject) -> None:
    """Every trainable weight can learn."""
    import torch

    for dims in subject.component.spatial_dims:
        network = _network(subject, dims).train()
        output = network(_batch(dims))
        (output * torch.randn_like(output)).sum().backward()
        without = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
        require(not without, f"in {dims}D no gradient reaches {without[:3]}")


def check_time(subject: Subject) -> None:
    """A small image takes less than ten seconds on a CPU."""
    import torch

    for dims in subject.component.spatial_dims:
        network, batch = _network(subject, dims), _batch(dims)
        before = time.monotonic()
        with torch.inference_mode():
            network(batch[:1])
        spent = time.monotonic() - before
        require(spent < LONGEST, f"in {dims}D it takes {spent:.0f} s")


def check_judges(subject: Subject) -> None:
    """For every scale come features, of which the last are finite logits of one channel."""
    import torch

    for dims in subject.component.spatial_dims:
        judge = subject.build(spatial_dims=dims, in_channels=1).eval()
        size = (64, 72) if dims == 2 else (32, 40, 48)
        with torch.inference_mode():
            scales = judge(torch.randn(2, 1, *size))
        require(isinstance(scales, list) and scales, f"in {dims}D '{type(scales).__name__}' comes out, not a list")
        for features in scales:
            logits = features[-1]
            require(logits.shape[:2] == (2, 1), f"in {dims}D the logits have shape {tuple(logits.shape)}")
            require(torch.isfinite(logits).all(), f"in {dims}D the logits are not finite")


def check_is_a_number(subject: Subject) -> None:
    """Of a batch comes one finite number, with a cost map and without."""
    import torch

    for case in _cases(subject):
        for costmap in (None, torch.ones_like(case.target[:, :1], dtype=torch.float32)):
            value = case.loss(case.worse, case.target, costmap=costmap)
            require(value.ndim == 0, f"{case}: the loss has shape {tuple(value.shape)}, it should be a scalar")
            require(torch.isfinite(value), f"{case}: the loss is {float(value)}")


def check_is_differentiable(subject: Subject) -> None:
    """The prediction has a finite gradient that is not all zero."""
    import torch

    for case in _cases(subject):
        prediction = case.worse.clone().requires_grad_()
        value = case.loss(prediction, case.target, costmap=None)
        require(value.requires_grad, f"{case}: no gradient leads back to the prediction")
        value.backward()
        require(prediction.grad is not None, f"{case}: no gradient reaches the prediction")
        require(torch.isfinite(prediction.grad).all(), f"{case}: the gradient is not finite")
        require(prediction.grad.abs().max() > 0, f"{case}: the gradient is zero everywhere")


def check_is_least_at_the_target(subject: Subject) -> None:
    """A perfect prediction has a lower loss than another."""
    for case in _cases(subject):
        perfect = float(case.loss(case.perfect, case.target, costmap=None))
        worse = float(case.loss(case.worse, case.target, costmap=None))
        require(perfect < worse, f"{case}: {perfect:.4g} at the target, {worse:.4g} away from it")


def check_cost_map(subject: Subject) -> None:
    """Where the cost map is 0, the prediction has no influence."""
    import torch

    for case in _cases(subject):
        costmap = torch.ones_like(case.target[:, :1], dtype=torch.float32)
        costmap[..., : costmap.shape[-1] // 2] = 0
        changed = torch.where(costmap > 0, case.worse, case.worse + 3 * torch.randn_like(case.worse))
        values = [float(case.loss(each, case.target, costmap=costmap)) for each in (case.worse, changed)]
        require(
            abs(values[0] - values[1]) <= 1e-4 * max(1.0, abs(values[0])),
            f"{case}: pixels of cost map 0 change the loss from {values[0]:.6g} to {values[1]:.6g}",
        )


def _network(subject: Subject, dims: int) -> Any:
    import torch

    torch.manual_seed(0)
    available = {"spatial_dims": dims, "in_channels": 2, "out_channels": 3, "model": None}
    return subject.build(**available).eval()


def _batch(dims: int) -> Any:
    import torch

    return torch.randn(2, 2, *PIXELS[dims], generator=torch.Generator().manual_seed(1))


def _loss_tasks(component: Any) -> list[str]:
    """Tasks in which prediction and target can be made without a model."""
    if component.composite:
        return []
    tasks = component.tasks or ("restoration",)
    return [task for task in tasks if task == "semantic-segmentation" or task in IMAGE_TASKS]


class _Case(SimpleNamespace):
    def __str__(self) -> str:
        return f"{self.task} in {self.dims}D"


def _cases(subject: Subject) -> Iterator[Any]:
    """A loss with target, perfect and other prediction, for classes and for images, in 2D and 3D."""
    import torch

    tasks = _loss_tasks(subject.component)
    kinds = [
        next(task for task in tasks if (task in IMAGE_TASKS) == images) for images in {t in IMAGE_TASKS for t in tasks}
    ]
    for task in kinds:
        for dims in (2, 3):
            torch.manual_seed(0)
            loss = subject.build(spatial_dims=dims, model=None, parts=[])
            pairs = [disc_image(dims, seed, LOSS_SIZE[dims]) for seed in range(2)]
            target = torch.from_numpy(np.stack([target_for(task, *pair)[None] for pair in pairs]))
            if task == "semantic-segmentation":
                target = target.to(torch.int32)
                foreground = (target > 0).float() * 20 - 10
                perfect = torch.cat([-foreground, foreground], dim=1)
                worse = torch.randn_like(perfect)
            else:
                perfect = target.clone()
                worse = target + 0.3 * torch.randn_like(target)
            yield _Case(task=task, dims=dims, loss=loss, target=target, perfect=perfect, worse=worse)
