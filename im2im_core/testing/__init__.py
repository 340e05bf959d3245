"""Conformance kit: what every component of its kind must do, as tests for the author of a plug-in.

    from im2im_core.testing import parametrize_with_checks

    @parametrize_with_checks("my_plugin.plugin")
    def test_conformance(check):
        check()

`im2im plugins check NAME` runs the same on an installed plug-in.
"""

from __future__ import annotations

from im2im_core.testing.checks import Check, CheckFailed, NotChecked, checks_of, parametrize_with_checks

__all__ = ["Check", "CheckFailed", "NotChecked", "checks_of", "parametrize_with_checks"]
