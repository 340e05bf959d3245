"""Places that cannot be written, and disks that become full on the way: nothing is left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core.errors import OutputError
from im2im_core.image import Image
from im2im_io import region_file

Pixels = Callable[..., np.ndarray]
FILES = {"ome-tiff": "a.ome.tiff", "ome-zarr": "a.ome.zarr", "numpy": "a.npy", "png": "a.png"}
CONFIGS = {"ome-tiff": "OmeTiff", "ome-zarr": "OmeZarr", "numpy": "Numpy", "png": "Png"}


@pytest.mark.parametrize("name", FILES)
def test_folder_that_is_a_file(tmp_path: Path, writer: Callable, pixels: Pixels, name: str) -> None:
    (tmp_path / "results").write_text("here already")
    path, image = tmp_path / "results" / FILES[name], Image(pixels(40, 50, dtype="uint8"), "YX")
    with pytest.raises(OutputError, match="results") as caught:
        writer(name).write(path, image)
    assert caught.value.hint
    with pytest.raises(OutputError, match="results"):
        writer(name).create(path, image, image.shape, image.dtype)
    assert (tmp_path / "results").read_text() == "here already"


@pytest.fixture
def nobody() -> Iterator[None]:
    """The superuser may write anywhere, so be somebody else meanwhile."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no permissions of this kind")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.parametrize("name", FILES)
def test_folder_without_permission(
    tmp_path: Path, writer: Callable, pixels: Pixels, name: str, request: pytest.FixtureRequest
) -> None:
    image = Image(pixels(40, 50, dtype="uint8"), "YX")
    (tmp_path / "elsewhere").mkdir()
    writer(name).write(tmp_path / "elsewhere" / FILES[name], image)  # loads what it needs
    (tmp_path / "closed").mkdir(mode=0o500)
    request.getfixturevalue("nobody")
    with pytest.raises(OutputError, match="Permission denied") as caught:
        writer(name).write(tmp_path / "closed" / FILES[name], image)
    assert FILES[name] in caught.value.message


FULL_DISK = """
import pathlib, resource, sys
import numpy as np
from im2im_core.errors import OutputError
from im2im_core.image import Image
from im2im_io import config, plugin
name, how, path = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
component = next(writer for writer in plugin.im2im_writers() if writer.name == name)
writer = component.factory(component.config())
data = np.random.default_rng(0).integers(0, 255, (1024, 1024)).astype("uint8")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    if how == "write":
        writer.write(path, Image(data, "YX"))
    else:
        target = writer.create(path, Image(data, "YX"), data.shape, data.dtype)
        for y in range(0, 1024, 256):
            target.write_region((y, 0), data[y : y + 256])
        target.close()
except OutputError as error:
    assert str(path) in error.message, error.message
    assert "disk" in error.hint, error.hint
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit the size of files")
@pytest.mark.parametrize(("how", "earlier"), [("write", True), ("create", False)])
@pytest.mark.parametrize("name", FILES)
def test_file_that_may_not_grow(
    tmp_path: Path, writer: Callable, pixels: Pixels, name: str, how: str, earlier: bool
) -> None:
    """The operating system itself refuses to write on, in the middle of the file."""
    if earlier:
        writer(name).write(tmp_path / FILES[name], Image(pixels(20, 30, dtype="uint8"), "YX"))
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL_DISK, name, how, str(tmp_path / FILES[name])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(list(tmp_path.iterdir())) == int(earlier)


@pytest.mark.parametrize("name", ["ome-tiff", "numpy"])
def test_file_that_the_disk_cannot_hold_is_refused_before_work_begins(
    tmp_path: Path, writer: Callable, pixels: Pixels, name: str, monkeypatch: Any
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system cannot reserve space")
    monkeypatch.setattr(region_file.os, "posix_fallocate", full)
    image = Image(pixels(40, 50), "YX")
    with pytest.raises(OutputError, match="No space left"):
        writer(name).create(tmp_path / FILES[name], image, image.shape, image.dtype)
    assert not list(tmp_path.iterdir())
