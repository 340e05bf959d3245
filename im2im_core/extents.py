"""Boxes of pixels: where two meet, and where one lies in another."""

from __future__ import annotations

from collections.abc import Sequence

Region = tuple[slice, ...]
"""First and last pixel along each axis, [Z], Y, X; both are given."""


def common_part(one: Sequence[slice], other: Sequence[slice]) -> Region | None:
    """What is in both; None: nothing."""
    parts = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    return tuple(parts) if all(part.stop > part.start for part in parts) else None


def within(region: Sequence[slice], origin: Sequence[slice]) -> Region:
    """A region, counted from the first pixel of another."""
    return tuple(slice(part.start - o.start, part.stop - o.start) for part, o in zip(region, origin, strict=True))
