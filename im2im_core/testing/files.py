"""Checks of readers and writers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from im2im_core.components import Component
from im2im_core.errors import Im2imError
from im2im_core.formats import by_suffix
from im2im_core.image import Image
from im2im_core.testing.checks import CheckFailed, Subject, require


def of_component(component: Component) -> list[Callable[[Subject], None]]:
    """Those of a reader, or of a writer."""
    if component.kind == "reader":
        return [check_missing_file, check_nonsense_in_a_file, check_lazy_equals_eager, check_files_are_closed]
    if component.kind == "writer":
        return [check_round_trip, check_region_by_region, check_nothing_half_written]
    return []


def check_missing_file(subject: Subject) -> None:
    """A file that is not there is an Im2imError."""
    with tempfile.TemporaryDirectory() as folder:
        _refused(subject, Path(folder, f"missing{subject.component.suffixes[0]}"))


def check_nonsense_in_a_file(subject: Subject) -> None:
    """A file of another format is an Im2imError, when it is opened or when its pixels are read."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in subject.component.suffixes:
            path = Path(folder, f"nonsense{suffix}")
            path.write_bytes(b"this is no image\n" * 100)
            _refused(subject, path)


def check_lazy_equals_eager(subject: Subject) -> None:
    """A region of an opened image is that region of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        for path in _written(subject, Path(folder)):
            image = _build(subject)(path)
            require(isinstance(image, Image), f"'{type(image).__name__}' is no Image")
            whole = image.compute()
            region = tuple(slice(n // 3, n - n // 4) for n in image.shape)
            require(np.array_equal(np.asarray(image.data[region]), whole[region]), "a region differs from the whole")


def check_files_are_closed(subject: Subject) -> None:
    """No file stays open when its image is not used any more."""
    if not Path("/proc/self/fd").is_dir():
        return  # nothing that could be asked
    with tempfile.TemporaryDirectory() as folder:
        for path in _written(subject, Path(folder)):
            _build(subject)(path).compute()
            still = [link for link in _open_files() if link.startswith(str(path))]
            require(not still, f"'{still}' stays open")


def check_round_trip(subject: Subject) -> None:
    """What a writer has written, a reader of its suffix reads: pixels, and what the format holds of the rest."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in subject.component.suffixes:
            path = Path(folder, f"a{suffix}")
            _build(subject).write(path, _image())
            _same(subject, path, np.asarray(_image().data))
            require([each.name for each in Path(folder).iterdir()] == [path.name], "more than the file was left")
            _remove(path)


def check_region_by_region(subject: Subject) -> None:
    """Written region by region, a file is the same."""
    with tempfile.TemporaryDirectory() as folder:
        image, path = _image(), Path(folder, f"a{subject.component.suffixes[0]}")
        pixels = np.asarray(image.data)
        target = _build(subject).create(path, image, image.shape, image.dtype)
        for row in range(0, pixels.shape[0], 16):
            require(not path.exists(), "the file has its name before it is complete")
            target.write_region((row, 0), pixels[row : row + 16])
        target.close()
        _same(subject, path, pixels)


def check_nothing_half_written(subject: Subject) -> None:
    """A file that is given up leaves nothing behind, and an older one of its name stays."""
    with tempfile.TemporaryDirectory() as folder:
        image, path = _image(), Path(folder, f"a{subject.component.suffixes[0]}")
        for before in (False, True):
            if before:
                _build(subject).write(path, image)
            target = _build(subject).create(path, image, image.shape, image.dtype)
            target.write_region((0, 0), np.zeros((16, image.shape[1]), image.dtype))
            target.abort()
            left = [each.name for each in Path(folder).iterdir()]
            require(left == ([path.name] if before else []), f"'{left}' was left behind")
        _same(subject, path, np.asarray(image.data))


def _image() -> Image:
    """All formats hold 8 bits of grey."""
    return Image(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8), "YX", {"Y": 0.5, "X": 0.5})


def _build(subject: Subject) -> Any:
    return subject.component.factory(subject.config)


def _refused(subject: Subject, path: Path) -> None:
    try:
        _build(subject)(path).compute()
    except Im2imError:
        return
    except Exception as error:
        raise CheckFailed(f"'{path.name}' ends in {type(error).__name__}, not in an Im2imError: {error}") from error
    raise CheckFailed(f"'{path.name}' was read")


def _written(subject: Subject, folder: Path) -> list[Path]:
    """A file of each suffix that some installed plug-in writes."""
    paths = []
    for suffix in subject.component.suffixes:
        path = folder / f"a{suffix}"
        writers = by_suffix(subject.registry, "writer", path)
        if writers:
            component: Any = writers[0].component
            component.factory(component.config()).write(path, _image())
            paths.append(path)
    return paths


def _same(subject: Subject, path: Path, expected: Any) -> None:
    readers = by_suffix(subject.registry, "reader", path)
    require(path.exists(), f"'{path.name}' was not written")
    require(readers, f"no installed reader opens '{path.suffix}', so nothing can be compared")
    component: Any = readers[0].component
    found = component.factory(component.config())(path).to_axes("YX").compute()
    require(np.array_equal(found, expected), f"other pixels come back from '{path.name}'")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _open_files() -> list[str]:
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # of what is listed, some is gone when it is looked at
            links.append(str(entry.readlink()))
    return links
