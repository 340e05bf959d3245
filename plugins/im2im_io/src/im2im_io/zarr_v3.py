"""Arrays of zarr format 3 (OME-Zarr 0.5) for zarr 2, which is what aicsimageio allows beside itself.

The chunk files of both formats are the same as long as the codecs are; only the metadata and the names of the chunks
differ. So a format 3 array is shown to zarr 2 as one of format 2. Shards have no counterpart and are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr  # type: ignore[import-untyped]

from im2im_core.errors import DataError
from im2im_io.zarr_folder import check_blosc

NEWER = 'pip install "zarr>=3" in an environment without aicsimageio'


def open_as_v2(folder: Path) -> Any:
    """A zarr 2 array over the chunks of a format 3 array.

    Args:
        folder: the array's folder.

    Raises:
        DataError: the array uses what format 2 cannot express.
    """
    metadata = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    try:
        store = _Translated(folder, metadata)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"'{folder.name}' is a zarr 3 array with a feature that zarr {zarr.__version__} cannot read: {error}", NEWER
        ) from error
    return zarr.open_array(store, mode="r")


class _Translated(MutableMapping[str, bytes]):
    """A zarr 2 store: `.zarray` made from `zarr.json`, chunks looked up under their format 3 names."""

    def __init__(self, folder: Path, metadata: dict[str, Any]) -> None:
        self._folder = folder
        translated = _as_v2(metadata)
        self._metadata = json.dumps(translated).encode()
        self._blosc = (translated["compressor"] or {}).get("id") == "blosc"
        encoding = metadata.get("chunk_key_encoding", {"name": "default"})
        self._separator: str = encoding.get("configuration", {}).get(
            "separator", "/" if encoding["name"] == "default" else "."
        )
        self._prefix = "c" if encoding["name"] == "default" else ""

    def _file(self, key: str) -> Path:
        parts = ([self._prefix] if self._prefix else []) + key.split(".")
        return self._folder / self._separator.join(parts)

    def __getitem__(self, key: str) -> bytes:
        if key == ".zarray":
            return self._metadata
        try:
            chunk = self._file(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise KeyError(key) from error
        if self._blosc:
            check_blosc(chunk)
        return chunk

    def __contains__(self, key: object) -> bool:
        return key == ".zarray" or (isinstance(key, str) and self._file(key).is_file())

    def __iter__(self) -> Iterator[str]:
        return iter([".zarray"])

    def __len__(self) -> int:
        return 1

    def __setitem__(self, key: str, value: bytes) -> None:
        raise PermissionError("read only")

    def __delitem__(self, key: str) -> None:
        raise PermissionError("read only")


def _as_v2(metadata: dict[str, Any]) -> dict[str, Any]:
    """Format 2 metadata with the same meaning.

    Raises:
        ValueError: there is none.
    """
    if metadata["node_type"] != "array" or metadata["chunk_grid"]["name"] != "regular":
        raise ValueError(f"chunk grid '{metadata['chunk_grid']['name']}'")
    order, byteorder, compressor = _codecs(metadata["codecs"])
    fill = metadata.get("fill_value", 0)
    return {
        "zarr_format": 2,
        "shape": metadata["shape"],
        "chunks": metadata["chunk_grid"]["configuration"]["chunk_shape"],
        "dtype": np.dtype(metadata["data_type"]).newbyteorder(byteorder).str,
        "fill_value": fill,
        "order": order,
        "filters": None,
        "compressor": compressor,
    }


def _codecs(codecs: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any] | None]:
    """Memory order, byte order and compressor."""
    order, byteorder, compressor = "C", "<", None
    for codec in codecs:
        name, settings = codec["name"], codec.get("configuration") or {}
        if name == "bytes":
            byteorder = {"little": "<", "big": ">"}[settings.get("endian", "little")]
        elif name in ("gzip", "zstd") and compressor is None:
            compressor = {"id": name, "level": settings.get("level", 0)}
        elif name == "blosc" and compressor is None:
            shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[settings.get("shuffle", "noshuffle")]
            compressor = {"id": "blosc", "cname": settings["cname"], "clevel": settings["clevel"], "shuffle": shuffle}
        elif name == "transpose" and list(settings["order"]) == sorted(settings["order"], reverse=True):
            order = "F"
        elif name != "transpose" or list(settings["order"]) != sorted(settings["order"]):
            raise ValueError(f"codec '{name}'")
    return order, byteorder, compressor
