"""The plug-in passes the conformance kit, as any author's would."""

from __future__ import annotations

from collections.abc import Callable

from im2im_core.testing import parametrize_with_checks


@parametrize_with_checks("im2im_fcn.plugin")
def test_conformance(check: Callable[[], None]) -> None:
    check()
