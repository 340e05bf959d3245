"""How far long work is. Loads nothing before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Shares:
    """A bar over items of which each may tell the share of itself that is done."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance
        self._item = 0

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items one by one."""
        for item in items:
            yield item
            self._item += 1
            self._advance(self._item)

    def part(self, share: float) -> None:
        """Of the item at hand this share, 0 to 1, is done."""
        self._advance(self._item + min(share, 1.0))

    def done(self, items: float) -> None:
        """So many items are done, in whatever order."""
        self._advance(items)


@contextmanager
def shares(description: str, total: int) -> Iterator[Shares]:
    """A progress bar on the error stream, silent when that is not a terminal, for items that take long."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield Shares(lambda done: progress.update(task, completed=done))


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Items one by one with a progress bar on the error stream; silent when that is not a terminal."""
    with shares(description, total) as progress:
        yield from progress.each(items)
