"""The terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")
_REDIRECTED_WIDTH = 1000


def console() -> Console:
    """Where ordinary output goes. Never breaks lines of a redirected output, so that scripts can read it.

    Brackets are no markup: paths and types hold them.
    """
    import sys

    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(soft_wrap=not terminal, width=None if terminal else _REDIRECTED_WIDTH, markup=False)


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Items one by one with a progress bar on the error stream; silent when that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)
