"""Resuming as if nothing had happened: random states, and the place in the data."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer


def random_state() -> dict[str, Any]:
    """State of the random generators of Python, numpy and torch (all devices), in plain types."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, list(words), gauss],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put the random generators into a state that `random_state` returned."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())


class ExactResume(Callback):  # type: ignore[misc]
    """Continues with the random numbers and the batches that an uninterrupted training would have seen.

    Lightning (2.6) restores neither. It makes the iterator over the data before it tells the sampler which epoch it is,
    starts a broken epoch's data from their beginning, and with `max_steps` counts a finished epoch twice. The batches
    are the same again if they depend only on the epoch that the sampler is told (`set_epoch`) and on the random
    generators of the process, which is so for every DataLoader without a generator of its own.
    """

    def __init__(self) -> None:
        self._epoch_start: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember what the order of this epoch's data depends on."""
        self._epoch_start = random_state()

    def state_dict(self) -> dict[str, Any]:
        """Random states now and when the epoch began."""
        now = random_state()
        return {"now": now, "epoch_start": self._epoch_start or now}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep for the start of the training: until then, random numbers are used to set up."""
        self._resumed = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on where the checkpoint was written."""
        if self._resumed is None:
            return
        loop, state, self._resumed = trainer.fit_loop, self._resumed, None
        progress = loop.epoch_progress.current
        if progress.processed == progress.ready:
            _begin_next_epoch(loop)
        else:
            self._epoch_start = state["epoch_start"]
            if trainer.world_size == 1:
                set_random_state(state["epoch_start"])
            _skip_batches(loop)
        if trainer.world_size == 1:  # the checkpoint has the numbers of one process; others must not get the same
            set_random_state(state["now"])


def _begin_next_epoch(loop: Any) -> None:
    """The checkpoint was written at the end of an epoch: nothing is to be repeated, and the iterator is made anew."""
    for each in (loop, loop.epoch_loop, loop.epoch_loop.val_loop, loop.epoch_loop.automatic_optimization):
        each._restarting = False
        each._resuming_from_checkpoint = False
        each.reset_restart_stage()
    for counter in (loop.epoch_progress.current, loop.epoch_progress.total):
        counter.completed = counter.processed


def _skip_batches(loop: Any) -> None:
    """The checkpoint was written within an epoch: pass over the batches that were trained with."""
    for loader in loop._combined_loader.flattened:
        for sampler in (
            getattr(loader, "sampler", None),
            getattr(getattr(loader, "batch_sampler", None), "sampler", None),
        ):
            set_epoch = getattr(sampler, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(loop.epoch_progress.current.processed)
    fetcher = loop._data_fetcher
    iter(fetcher)
    for _ in range(loop.epoch_loop.batch_progress.current.processed):
        next(fetcher)
    fetcher.fetched = 0  # Lightning adds the number of batches itself
