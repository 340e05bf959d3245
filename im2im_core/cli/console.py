"""The terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from im2im_core.progress import track

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "track"]
_REDIRECTED_WIDTH = 1000


def console(*, quiet: bool = False) -> Console:
    """Where ordinary output goes. Never breaks lines of a redirected output, so that scripts can read it.

    Brackets are no markup: paths and types hold them.

    Args:
        quiet: print nothing.
    """
    import sys

    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(soft_wrap=not terminal, width=None if terminal else _REDIRECTED_WIDTH, markup=False, quiet=quiet)
