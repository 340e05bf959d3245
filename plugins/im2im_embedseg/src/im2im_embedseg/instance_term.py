"""The instance term of the spatial-embedding loss, for all objects of a batch at once, with its gradient.

Neven et al. 2019 (CVPR), equations 7 and 8: an object's membership phi should be above one half on its own pixels and
below on all others, by the Lovasz hinge of the logits 2 phi - 1. So the error of an own pixel is 2 - 2 phi and that of
any other one 2 phi.

Only some pixels matter to an object. The weights of its errors add up to 1, so leaving out other pixels with phi below
NEGLIGIBLE changes the value by less than 2e-7. And an error below those of all own pixels comes last in the order of
the Lovasz extension, where no Jaccard loss is left: its weight is 0, and leaving the pixel out changes nothing at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from im2im_embedseg.instances import BACKGROUND, Instances
from im2im_embedseg.lovasz import row_weights
from im2im_embedseg.pairs import pair_tables, ranges_in_ellipsoids, sort_into_cells

NEGLIGIBLE = 1e-7
# Pairs of an object and a pixel at a time, about 100 bytes each: what fits a cache, or what fills an accelerator.
_PAIRS_CPU, _PAIRS_ACCELERATOR = 1 << 17, 1 << 23
# An embedding so far away that phi is 0, but whose square times any bandwidth is finite.
_NOWHERE = 1e18


@dataclass(frozen=True, slots=True)
class Setting:
    """What the instance term is computed for; nothing here has a gradient.

    Attributes:
        found: K objects in a batch of B images with N pixels.
        center: (K, D) coordinates, x first.
        weight: (K,) of each object in the sum.
        counts: (B * N,) bool, pixels that count; all when None.
        shape: of one image, ([Z], Y, X).
        steps: spacing of the pixels, ([Z], Y, X).
    """

    found: Instances
    center: Tensor
    weight: Tensor
    counts: Tensor | None
    shape: Sequence[int]
    steps: Sequence[float]


def instance_term(setting: Setting, scale: Tensor, embedding: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Weighted sum of the objects' Lovasz hinge losses.

    Args:
        setting: objects, centres, weights.
        scale: (K, D) float32, exp(10 sigma) for each axis, x first.
        embedding: D tensors (B * N,) float32, x first.

    Returns:
        Scalar, and phi (F,) of the foreground pixels for their own object, without gradient.
    """
    value, phi = _InstanceTerm.apply(setting, scale, *embedding)  # type: ignore[no-untyped-call]
    return value, phi


class _InstanceTerm(torch.autograd.Function):
    """Computes the gradient on the way, so that nothing of the size of the pairs is kept until the backward pass."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, scale: Tensor, *embedding: Tensor) -> tuple[Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad)
        value, phi, gradients = _evaluate(setting, scale, embedding, wanted)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(phi)
        return value, phi

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(saved * grad[0] for saved in ctx.saved_tensors)


@dataclass(frozen=True, slots=True)
class _Places:
    """All pixels that count, in an order in which those that matter to an object are few contiguous runs.

    First by cell of the embedding space, T of them. Then, by object, own pixels that lie outside their object's runs;
    in the first list these lost their label, since as strangers they are too far away to have any weight. Last an
    embedding that is nowhere, to fill up tables.

    Attributes:
        pixel: indices into the flattened batch; nothing for the last.
        owner: object of each.
        values: embedding, one tensor per axis, x first.
    """

    pixel: Tensor
    owner: Tensor
    values: list[Tensor]


@dataclass(frozen=True, slots=True)
class _Sums:
    """What is added up over the tables.

    Attributes:
        value: scalar.
        scale: (K, D) gradient.
        places: gradients of `_Places.values`.
    """

    value: Tensor
    scale: Tensor
    places: list[Tensor]


def _evaluate(
    setting: Setting, scale: Tensor, embedding: Sequence[Tensor], wanted: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Value, phi of own pixels, gradients for `scale` and for each axis of the embedding (none if not wanted)."""
    found = setting.found
    own_distance = _own_distance(setting, scale, embedding)
    own = torch.exp(-own_distance)
    peak = own.new_zeros(found.count).scatter_reduce(0, found.owner, own, "amax")
    # A little more than needed, so that rounding cannot leave out a pixel of some weight.
    limit = torch.nan_to_num(1e-5 - 1.00001 * torch.log((1 - peak).clamp(min=NEGLIGIBLE)))
    cells = sort_into_cells(embedding, setting.shape, setting.steps, setting.counts)
    ranges = ranges_in_ellipsoids(cells, found.sample, setting.center, scale, limit)
    # Not "above": a distance that is NaN belongs here, so that it reaches the value.
    outside = (~(own_distance <= limit.index_select(0, found.owner))).nonzero()[:, 0]
    places = _place(setting, embedding, cells.order, outside)
    sums = _Sums(scale.new_zeros(()), torch.zeros_like(scale), [torch.zeros_like(axis) for axis in places.values])
    most = _PAIRS_CPU if scale.device.type == "cpu" else _PAIRS_ACCELERATOR
    outsiders = torch.bincount(found.owner.index_select(0, outside), minlength=found.count)
    for objects, table in pair_tables(ranges, outsiders, len(cells.order), most):
        _add(setting, scale, places, objects, table, sums, wanted)
    gradients = []
    for axis, gradient in zip(embedding, sums.places if wanted else [], strict=False):
        gradients.append(torch.zeros_like(axis).index_add_(0, places.pixel, gradient[:-1]))
    return sums.value, own, [sums.scale, *gradients] if wanted else []


def _own_distance(setting: Setting, scale: Tensor, embedding: Sequence[Tensor]) -> Tensor:
    """(F,) squared distance of the foreground pixels to their own centre, in bandwidths."""
    found = setting.found
    distance = scale.new_zeros(len(found.pixel))
    for axis, values in enumerate(embedding):
        offset = values.index_select(0, found.pixel) - setting.center[:, axis].index_select(0, found.owner)
        distance += offset.square() * scale[:, axis].index_select(0, found.owner)
    return distance


def _place(setting: Setting, embedding: Sequence[Tensor], order: Tensor, outside: Tensor) -> _Places:
    """Put the pixels in order; `outside` are indices into the list of foreground pixels."""
    found = setting.found
    lonely = found.pixel.index_select(0, outside)
    pixel = torch.cat([order, lonely])
    owner = torch.cat(
        [
            found.of_pixel.index_fill(0, lonely, BACKGROUND).index_select(0, order),
            found.owner.index_select(0, outside),
            order.new_full((1,), BACKGROUND),
        ]
    )
    nowhere = embedding[0].new_full((1,), _NOWHERE)
    return _Places(pixel, owner, [torch.cat([axis.index_select(0, pixel), nowhere]) for axis in embedding])


def _add(
    setting: Setting, scale: Tensor, places: _Places, objects: Tensor, table: Tensor, sums: _Sums, wanted: bool
) -> None:
    """Add the objects (R,) whose pixels stand in a table of places (R, L)."""
    flat = table.view(-1)
    weight = setting.weight.index_select(0, objects)[:, None]
    bandwidth = scale.index_select(0, objects)[:, :, None].unbind(1)
    center = setting.center.index_select(0, objects)[:, :, None].unbind(1)
    offset = [axis.index_select(0, flat).view_as(table).sub_(c) for axis, c in zip(places.values, center, strict=True)]
    distance = offset[0].square().mul_(bandwidth[0])
    for values, width in zip(offset[1:], bandwidth[1:], strict=True):
        distance += values.square().mul_(width)
    phi = distance.neg_().exp_()
    is_own = places.owner.index_select(0, flat).view_as(table) == objects[:, None]
    errors = torch.where(is_own, 1 - phi, phi).mul_(2)
    weights = row_weights(errors, is_own).mul_(weight)
    sums.value.add_((weights * errors).sum())
    if not wanted:
        return
    # Half of d value / d distance: phi falls with the distance, by phi itself.
    slope = weights.mul_(phi)
    slope = torch.where(is_own, slope, -slope)
    for axis, (values, width) in enumerate(zip(offset, bandwidth, strict=True)):
        toward = slope * values
        sums.scale[objects, axis] = 2 * values.mul_(toward).sum(1)
        sums.places[axis].scatter_add_(0, flat, toward.mul_(4 * width).view(-1))
