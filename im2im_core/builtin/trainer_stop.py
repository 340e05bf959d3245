"""Ctrl-C and SIGTERM end a training at the end of the batch, so that what was done can be kept whole."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

log = logging.getLogger(__name__)


class TrainingStopped(Exception):
    """The user wants to stop, and everything is on disk."""


class StopRequest:
    """Whether the user wants to stop.

    The first signal asks for it; the second, or one that comes before the training has begun, interrupts at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self.in_training = False
        self._process = os.getpid()

    def wanted(self, trainer: Trainer) -> bool:
        """Whether to stop; all processes of a distributed training come to the same answer."""
        if trainer.world_size > 1:
            return bool(trainer.strategy.reduce_boolean_decision(self.requested, all=False))
        return self.requested

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen, if this is the main thread, and leave the handlers as they were."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:
            # a forked data-loading worker: it must outlive Ctrl-C, which reaches it too, until the batch is done
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self.requested or not self.in_training:
            raise KeyboardInterrupt
        self.requested = True
        log.warning("stopping at the end of this batch or validation; once more to stop at once")
