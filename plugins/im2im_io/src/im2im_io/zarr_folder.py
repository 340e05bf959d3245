"""Opening one array of a zarr folder, with zarr 2 or 3, format 2 or 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import zarr  # type: ignore[import-untyped]

ZARR_3 = int(zarr.__version__.split(".")[0]) >= 3
_BLOSC_HEADER = 16


def open_zarr_array(folder: Path) -> Any:
    """The array in a folder, read only.

    Raises:
        DataError: it needs a newer zarr than the one installed.
    """
    if not ZARR_3 and (folder / "zarr.json").exists():
        from im2im_io.zarr_v3 import open_as_v2

        return open_as_v2(folder)
    if _packed_by_blosc(folder):
        return zarr.open_array(_BloscFolder(str(folder)), mode="r")
    return zarr.open_array(str(folder), mode="r")


def check_blosc(chunk: bytes) -> None:
    """Blosc takes the length of a chunk from its header and reads on behind the end of one that was cut off.

    Raises:
        ValueError: the chunk is not as long as it says.
    """
    stated = int.from_bytes(chunk[12:_BLOSC_HEADER], "little")
    if len(chunk) < _BLOSC_HEADER or stated != len(chunk):
        raise ValueError(f"a chunk of {len(chunk)} bytes should have {stated}; it is cut off")


def _packed_by_blosc(folder: Path) -> bool:
    if (folder / "zarr.json").exists():
        codecs = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["codecs"]
        return bool(codecs) and codecs[-1]["name"] == "blosc"
    compressor = json.loads((folder / ".zarray").read_text(encoding="utf-8"))["compressor"]
    return compressor is not None and compressor["id"] == "blosc"


if ZARR_3:
    from zarr.storage import LocalStore  # type: ignore[import-untyped]

    class _BloscFolder(LocalStore):  # type: ignore[misc]
        """A folder of which each chunk is checked as it is read."""

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            value = await super().get(key, prototype, byte_range)
            if value is not None and byte_range is None and key[-1:].isdigit():
                check_blosc(value.to_bytes())
            return value

else:
    from zarr.storage import DirectoryStore

    class _BloscFolder(DirectoryStore):  # type: ignore[misc, no-redef]
        """A folder of which each chunk is checked as it is read."""

        def __getitem__(self, key: str) -> Any:
            value = super().__getitem__(key)
            if key[-1:].isdigit():
                check_blosc(value)
            return value
