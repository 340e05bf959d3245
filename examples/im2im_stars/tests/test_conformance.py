"""The plug-in passes the conformance kit."""

from __future__ import annotations

from collections.abc import Callable

from im2im_core.testing import parametrize_with_checks


@parametrize_with_checks("im2im_stars.plugin")
def test_conformance(check: Callable[[], None]) -> None:
    check()
