"""Writing so that a file under its final name is always complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from im2im_core.errors import OutputError


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder, which becomes `path` when the block ends well and vanishes otherwise.

    Works for files and folders. An existing file or folder of that name is replaced only at the end.

    Raises:
        OutputError: the place cannot be written, or the disk is full.
    """
    beside = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        if beside.is_dir() and path.is_dir():
            old = path.with_name(f".{uuid.uuid4().hex[:8]}-old-{path.name}")
            path.replace(old)
            try:
                beside.replace(path)
            except OSError:
                old.replace(path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            beside.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write '{path}': {error.strerror or error}",
            "check that the folder is writable and the disk not full",
        ) from error
    finally:
        # What cannot be removed must not hide the error that is on its way.
        with suppress(OSError):
            if beside.is_dir():
                shutil.rmtree(beside, ignore_errors=True)
            else:
                beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    with write_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    with write_beside(path) as beside:
        beside.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of the last change; for an image that is a folder, over all its files."""
    if not path.is_dir():
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    statuses = list(_walk(path))
    return sum(s.st_size for s in statuses), max((s.st_mtime_ns for s in statuses), default=0)


def _walk(folder: Path) -> Iterator[os.stat_result]:
    with os.scandir(folder) as scan:
        for entry in scan:
            if entry.is_dir():
                yield from _walk(Path(entry.path))
            else:
                yield entry.stat()


def check_writable(folder: Path) -> None:
    """Find out before long work starts whether its results can be written.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    probe = folder / f".{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write to '{folder}': {error.strerror or error}", "choose another folder") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write to '{folder}': permission denied", "choose another folder")
