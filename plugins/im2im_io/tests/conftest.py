from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.image import Image
from im2im_io import plugin


@pytest.fixture
def read() -> Callable[..., Image]:
    """`read(reader, path, **settings) -> Image`, built as the core builds it."""
    readers = {reader.name: reader for reader in plugin.im2im_readers()}

    def open_with(name: str, path: Path, **settings: Any) -> Image:
        return readers[name].factory(readers[name].config.model_validate(settings))(path)

    return open_with


@pytest.fixture
def writer() -> Callable[..., Any]:
    """`writer(name, **settings)`, built as the core builds it."""
    writers = {writer.name: writer for writer in plugin.im2im_writers()}
    return lambda name, **settings: writers[name].factory(writers[name].config.model_validate(settings))


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    def make(*shape: int, dtype: str = "uint16") -> np.ndarray:
        rng = np.random.default_rng(sum(shape))
        if np.dtype(dtype).kind == "f":
            return rng.normal(size=shape).astype(dtype)
        return rng.integers(0, min(np.iinfo(dtype).max, 60000), shape).astype(dtype)

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).resolve().parents[4] / "shared"
    if not (folder / "formats" / "MANIFEST.json").exists():
        pytest.skip("the shared images are not part of the repository")
    return folder


@pytest.fixture(scope="session")
def facts(shared: Path) -> dict[str, Any]:
    """What each shared file contains, by its path inside `shared`."""
    entries = json.loads((shared / "formats" / "MANIFEST.json").read_text())["files"]
    return {entry["file"].rstrip("/"): entry.get("facts", {}) for entry in entries}
