"""Prediction on several workers: a file each, or of a large image some blocks each.

A block that is done lies on disk with its checksum, so a worker that dies loses only what it was at, and a second start
computes only what is missing. The main process puts blocks together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from im2im_core.blocks import Block
from im2im_core.errors import Im2imError
from im2im_core.finished import FinishedBlocks, FinishedFiles, has_block, put_block
from im2im_core.image import Image
from im2im_core.prediction_job import OpenedJob, PredictionJob, attempt
from im2im_core.registry import Registry
from im2im_core.results import Assembly, block_results, planned

# Rows of blocks that a worker is given at a time: windows at both ends are computed twice.
ROWS = {2: 2, 3: 4}
Failed = list[tuple[Path, Im2imError]]


@dataclass(slots=True)
class _Large:
    """An image of which workers predict blocks."""

    stem: str
    path: Path
    image: Image
    blocks: list[Block]
    store: FinishedBlocks
    pieces: int = 0
    open: int = 0
    failure: Im2imError | None = None


@dataclass(slots=True)
class Distribution:
    """Hands out images and blocks.

    Args:
        opened: the job as this process has opened it.
        finished: notes on what is done.
        client: a `distributed.Client`.
        threads: of each worker, for the network; None: as the worker says.
    """

    opened: OpenedJob
    finished: FinishedFiles
    client: Any
    threads: int | None = None
    _tasks: dict[Any, Path | _Large] = field(default_factory=dict)

    def run(self, files: Sequence[tuple[str, Path]], progress: Callable[[float], None]) -> Failed:
        """Predict files; returns those that could not be.

        Args:
            files: stems and paths.
            progress: told how many are done, and shares of one.
        """
        from distributed import as_completed

        failed: Failed = []
        done = 0.0
        for stem, path in files:
            waiting = len(self._tasks)
            if failure := attempt(partial(self._submit, stem, path), path):
                failed.append((path, failure))
            # Nothing was left to do, or nothing could be done.
            done += len(self._tasks) == waiting
        progress(done)
        for future in as_completed(list(self._tasks), loop=self.client.loop):
            task, failure = self._tasks.pop(future), _outcome(future)
            future.release()
            if isinstance(task, _Large):
                done += 1 / task.pieces
                task.open -= 1
                task.failure = task.failure or failure
                # What one block lacks, the others keep for the next start.
                failure = None if task.open else task.failure or attempt(partial(self._assemble, task), task.path)
                path = task.path
            else:
                done += 1
                path = task
            if failure:
                failed.append((path, failure))
            progress(done)
        return failed

    def _submit(self, stem: str, path: Path) -> None:
        """Give an image to workers, or what is missing of a large one."""
        job = self.opened.job
        image = self.opened.image(path)
        if not self.opened.in_blocks(image):
            future = self.client.submit(predict_file, job, self.finished, path, stem, self.threads, pure=False)
            self._tasks[future] = path
            return
        groups = planned(self.opened.predictors[0], image)
        blocks = [block for group in groups for block in group]
        large = _Large(stem, path, image, blocks, self.finished.blocks(stem, path))
        for group in groups:
            missing = large.store.missing(group)
            for rows in _rows(missing, ROWS[len(group[0].index)]):
                future = self.client.submit(predict_rows, job, path, rows, large.store.folder, self.threads, pure=False)
                self._tasks[future] = large
                large.pieces += 1
        large.open = large.pieces
        if not large.open:
            self._assemble(large)

    def _assemble(self, large: _Large) -> None:
        """Make the result of blocks that are all there."""
        files, predictor = self.opened.files, self.opened.predictors[0]
        with Assembly(predictor, large.image, files.wanted(large.stem)) as assembly:
            for result in large.store.results(large.blocks):
                assembly.add(result)
            table = assembly.finish()
        self.finished.add(large.stem, large.path, files.written(predictor, large.stem, table))
        large.store.remove()


def predict_file(
    job: PredictionJob, finished: FinishedFiles, path: Path, stem: str, threads: int | None
) -> tuple[str, str] | None:
    """On a worker: predict a file, write its results and note them. Returns message and hint of what went wrong."""

    def work() -> None:
        opened = _opened(job, threads)
        finished.add(stem, path, opened.predict(opened.image(path), stem))

    return _attempt(work, path)


def predict_rows(
    job: PredictionJob, path: Path, blocks: Sequence[Block], folder: Path, threads: int | None
) -> tuple[str, str] | None:
    """On a worker: predict blocks and keep them in a folder. Returns message and hint of what went wrong."""

    def work() -> None:
        opened = _opened(job, threads)
        # A task comes again when the worker that had it is believed dead.
        todo = [block for block in blocks if not has_block(folder, block)]
        if todo:
            predictor, image = opened.predictors[0], _image(job, path, threads)
            for result in block_results(predictor, image, predictor.blocks(image, todo), raw=job.raw):
                put_block(folder, result)

    return _attempt(work, path)


def _attempt(work: Callable[[], None], path: Path) -> tuple[str, str] | None:
    """The same, in words, which travel."""
    failure = attempt(work, path)
    return (failure.message, failure.hint) if failure else None


@lru_cache(maxsize=1)
def _opened(job: PredictionJob, threads: int | None) -> OpenedJob:
    """A worker loads models once."""
    import dask
    import torch
    from distributed import get_worker

    # Lazy images are read here; by default dask would ask the cluster, and wait for the worker that is waiting.
    dask.config.set(scheduler="synchronous")
    # Dask has told the worker's libraries to use one thread each.
    worker = get_worker()
    torch.set_num_threads(threads or worker.state.nthreads)
    return OpenedJob(on_own_device(job, worker.name, torch.cuda.device_count()), Registry.discover()).load()


def on_own_device(job: PredictionJob, worker: Any, devices: int) -> PredictionJob:
    """Where a machine has several GPUs and the user chose none, the workers started here, by number, share them out."""
    if job.execution.device != "auto" or devices < 2 or not isinstance(worker, int):
        return job
    return replace(job, execution=replace(job.execution, device=f"cuda:{worker % devices}"))


@lru_cache(maxsize=1)
def _image(job: PredictionJob, path: Path, threads: int | None) -> Image:
    """One object for all blocks of an image, so that its statistics are taken once."""
    return _opened(job, threads).image(path)


def _outcome(future: Any) -> Im2imError | None:
    if future.status == "finished":
        words = future.result()
        return Im2imError(*words) if words else None
    error = future.exception()
    reason = "its worker died several times" if type(error).__name__ == "KilledWorker" else f"{error}"
    return Im2imError(reason, "if memory ran out, try fewer --workers, or a smaller --window, --batch or --block")


def _rows(blocks: Sequence[Block], count: int) -> Iterator[list[Block]]:
    """Blocks in pieces of some rows along the first axis."""
    numbers = sorted({block.index[0] for block in blocks})
    for first in range(0, len(numbers), count):
        rows = numbers[first : first + count]
        yield [block for block in blocks if block.index[0] in rows]
