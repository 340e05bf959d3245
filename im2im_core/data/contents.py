"""What a file holds, as a short text: the same wherever it lies, and another one as soon as a byte differs."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from im2im_core.errors import DataError, OutputError
from im2im_core.files import stamp, write_text

_BYTES = 20


def content_hash(path: Path) -> str:
    """Of a file; of an image that is a folder, of all its files and their names.

    Raises:
        DataError: it cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        parts = [[file.relative_to(path).as_posix(), content_hash(file)] for file in files]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=_BYTES).hexdigest()
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=_BYTES)).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}", "check the path and its permissions") from error


def remembered_hash(path: Path, folder: Path) -> str:
    """`content_hash`, for which a file is read once as long as its size and time of change stay.

    Args:
        path: a file, or an image that is a folder.
        folder: where it is remembered; what cannot be written there is found anew each time.

    Raises:
        DataError: it cannot be read.
    """
    try:
        described = json.dumps([str(path.resolve()), *stamp(path)])
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}", "check the path and its permissions") from error
    note = folder / hashlib.blake2b(described.encode(), digest_size=_BYTES).hexdigest()
    with suppress(OSError, ValueError):
        known = note.read_text(encoding="ascii")
        if len(bytes.fromhex(known)) == _BYTES:
            return known
    found = content_hash(path)
    with suppress(OutputError):
        write_text(note, found)
    return found
