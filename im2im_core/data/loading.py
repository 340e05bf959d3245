"""From patches to batches: order of an epoch, collation, and errors that reach the user from worker processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from im2im_core.data.config import FolderConfig
from im2im_core.data.patches import Failure, Visit, failure
from im2im_core.errors import DataError
from im2im_core.interfaces import Sample

Batch = dict[str, torch.Tensor]


class VisitSampler(DistributedSampler[Any]):
    """All visits of an epoch in an order that depends on (seed, epoch) only; each of several processes takes a share.

    Lightning announces the epoch by `set_epoch`. It leaves a DistributedSampler as it is; any other one it would
    replace by one that knows no visits.
    """

    def __init__(self, count: int, seed: int, *, epoch: int = 0, processes: int = 1, rank: int = 0) -> None:
        self.count = count
        self.seed = seed
        self.epoch = epoch
        self.num_replicas = processes
        self.rank = rank

    def __iter__(self) -> Iterator[Any]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        for number in order[self.rank :: self.num_replicas][: len(self)]:
            yield Visit(self.epoch, int(number))

    def __len__(self) -> int:
        return self.count // self.num_replicas


class BatchLoader(DataLoader[Any]):
    """A DataLoader that raises what a worker process could not read as the DataError it is."""

    before_epoch: Callable[[int], None] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self.before_epoch is not None:
            self.before_epoch(getattr(self.sampler, "epoch", 0))
        batches = super().__iter__()
        for batch in batches:
            if isinstance(batch, Failure):
                end_workers(batches)
                self._iterator = None
                raise DataError(batch.message, batch.hint)
            yield batch

    def close(self) -> None:
        """End the worker processes that are kept between epochs."""
        end_workers(self._iterator)
        self._iterator = None


def make_loader(
    dataset: Any,
    config: FolderConfig,
    *,
    seed: int,
    batch_size: int,
    keep_workers: bool = True,
    costmaps: bool = False,
    **options: Any,
) -> BatchLoader:
    """A loader with the settings of a data set.

    Args:
        dataset: gives samples or failures.
        config: settings.
        seed: of what a DataLoader draws by itself.
        batch_size: samples in a batch.
        keep_workers: worker processes live on between epochs.
        costmaps: every batch gets a cost map.
        options: handed on to the DataLoader.
    """
    return BatchLoader(
        dataset,
        batch_size=batch_size,
        num_workers=config.num_workers,
        persistent_workers=keep_workers and config.num_workers > 0,
        collate_fn=Collate(costmaps=costmaps),
        pin_memory=torch.cuda.is_available(),
        drop_last=batch_size > 1 and config.drop_last,
        # Otherwise a DataLoader draws from torch's own generator, and so changes what the model draws.
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


def make_sampler(count: int, seed: int, trainer: Any) -> VisitSampler:
    """The order of visits, shared among the processes of a Lightning trainer, if there is one."""
    if trainer is None:
        return VisitSampler(count, seed)
    return VisitSampler(
        count, seed, epoch=trainer.current_epoch, processes=trainer.world_size, rank=trainer.global_rank
    )


def end_workers(iterator: Any) -> None:
    """End the worker processes of a DataLoader's iterator, if it has any."""
    # Left to the garbage collector this may happen while other workers are being forked, and then takes ten seconds.
    end = getattr(iterator, "_shutdown_workers", None)
    if end is not None:
        end()


def in_parallel(work: Callable[[int], Any], count: int, workers: int) -> Iterator[Any]:
    """`work(0)`, `work(1)` and so on, in this order, several at a time in processes of their own.

    Processes, since readers and preprocessing of any plug-in need not bear threads; where the system cannot fork them,
    which spares them being sent the work, one after the other in this one.

    Args:
        work: what it returns must be small; what it makes it writes to disk.
        count: how many.
        workers: processes; 0: this one.

    Raises:
        DataError: from `work`.
    """
    workers = min(workers, count) if sys.platform == "linux" else 0
    context = "fork" if workers else None
    jobs: Any = _Jobs(work, count)  # having its methods is enough for a data set
    results = iter(
        DataLoader(jobs, batch_size=None, num_workers=workers, collate_fn=_as_is, multiprocessing_context=context)
    )
    try:
        for result in results:
            if isinstance(result, Failure):
                raise DataError(result.message, result.hint)
            yield result
    finally:
        end_workers(results)


@dataclass(frozen=True, slots=True)
class _Jobs:
    work: Callable[[int], Any]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        try:
            return self.work(index)
        except Exception as error:
            return failure(error)


def _as_is(result: Any) -> Any:
    return result


class Collate:
    """Samples -> batch, or the first failure among them.

    Args:
        costmaps: every batch gets a cost map; a sample without one counts everywhere.
    """

    def __init__(self, *, costmaps: bool) -> None:
        self.costmaps = costmaps

    def __call__(self, samples: Sequence[Sample | Failure]) -> Batch | Failure:
        """Stack, (C, [Z,] Y, X) -> (B, C, [Z,] Y, X)."""
        whole: list[Sample] = []
        for sample in samples:
            if isinstance(sample, Failure):
                return sample
            whole.append(sample)
        given = [sample["costmap"] for sample in whole if "costmap" in sample]
        if given or self.costmaps:
            channels = given[0].shape[0] if given else 1
            for sample in whole:
                if "costmap" not in sample:
                    sample["costmap"] = torch.ones((channels, *sample["image"].shape[1:]))
        for key in ("image", "target"):
            shapes = {tuple(sample[key].shape) for sample in whole}
            if len(shapes) > 1:
                found = ", ".join(f"'{shape}'" for shape in sorted(shapes))
                return Failure(
                    f"{key}s of different shapes cannot form one batch: {found}",
                    "set dataset.patch_size, or dataset.batch_size=1; an augmentation must keep the size of a patch",
                )
        return {key: torch.stack([sample[key] for sample in whole]) for key in whole[0]}
