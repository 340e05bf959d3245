"""Which images and blocks are predicted already, so that a second start goes on where the first one ended.

What is found again is used only if it was made from the same file with the same model and settings, and if its bytes
are still those that were written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.blocks import Block
from im2im_core.files import checksum, stamp, write_beside, write_json
from im2im_core.results import BlockResult

FOLDER = ".im2im"
_PARTS = ("found", "scores", "raw")


class FinishedFiles:
    """Notes in a folder of results, `.im2im/STEM.json`, one for each image that is done.

    Args:
        out: the folder of results.
        job: what stands for model and settings.
    """

    def __init__(self, out: Path, job: str) -> None:
        self.out, self._job = out, job

    def has(self, stem: str, source: Path) -> bool:
        """Whether all files of an image are there as they were written."""
        note = _read(self._note(stem))
        results = note.get("results")
        if note.get("job") != self._job or not isinstance(results, dict) or note.get("source") != _state(source):
            return False
        return all(sum_of(self.out / name) == known for name, known in results.items())

    def add(self, stem: str, source: Path, results: Sequence[Path]) -> None:
        """Note what was written for an image."""
        sums = {path.relative_to(self.out).as_posix(): sum_of(path) for path in results}
        write_json(self._note(stem), {"job": self._job, "source": _state(source), "results": sums})

    def blocks(self, stem: str, source: Path) -> FinishedBlocks:
        """Where blocks of an image wait; those of another job or of an older state of the file are removed."""
        return FinishedBlocks(self.out / FOLDER / f"{stem}.blocks", digest([self._job, _state(source)]))

    def _note(self, stem: str) -> Path:
        return self.out / FOLDER / f"{stem}.json"


class FinishedBlocks:
    """Results of blocks on disk, until there are all of an image's.

    Args:
        folder: where they lie.
        job: what stands for the image, the model and the settings.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder
        if _read(folder / "job.json").get("job") != job:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(folder / "job.json", {"job": job})

    def missing(self, blocks: Iterable[Block]) -> list[Block]:
        """Those that are not there, or not as they were written."""
        return [block for block in blocks if not has_block(self.folder, block)]

    def results(self, blocks: Iterable[Block]) -> Iterator[BlockResult]:
        """What was predicted, mapped from disk."""
        for block in blocks:
            found, scores, raw = (
                np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None
                for path in (_part(self.folder, block, part) for part in _PARTS)
            )
            assert found is not None
            yield BlockResult(block, found, scores, raw, _part(self.folder, block, "found"))

    def remove(self) -> None:
        """They are not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def put_block(folder: Path, result: BlockResult) -> None:
    """Keep the result of a block; it counts as done only once its checksums are written, at the end."""
    sums = {}
    for part in _PARTS:
        values = getattr(result, part)
        path = _part(folder, result.block, part)
        if values is None:
            continue
        with write_beside(path) as beside, beside.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        sums[path.name] = checksum(path)
    write_json(_sums(folder, result.block), sums)


def has_block(folder: Path, block: Block) -> bool:
    """Whether a block is there as it was written."""
    sums = _read(_sums(folder, block))
    return bool(sums) and all(sum_of(folder / name) == known for name, known in sums.items())


def sum_of(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder and their names; empty where there is nothing."""
    if path.is_file():
        return checksum(path)
    if not path.is_dir():
        return ""
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    return digest([[each.relative_to(path).as_posix(), checksum(each)] for each in inside])


def digest(content: Any) -> str:
    """SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _state(source: Path) -> list[Any]:
    """What shows that a file or folder is still the one that was read."""
    return [str(source.resolve()), *stamp(source)]


def _read(path: Path) -> dict[str, Any]:
    """A note, or nothing where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _part(folder: Path, block: Block, part: str) -> Path:
    return folder / f"{'-'.join(map(str, block.index))}.{part}.npy"


def _sums(folder: Path, block: Block) -> Path:
    return folder / f"{'-'.join(map(str, block.index))}.json"
