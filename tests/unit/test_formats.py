"""Which reader opens a file, and what is said when none does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2im_core import ComponentConfig, DataError, Image, OutputError, Reader, Writer
from im2im_core.config import Choice
from im2im_core.formats import by_suffix, image_loader, image_writer, known_suffixes
from im2im_core.registry import Registered, Registry


def reader(name: str, *suffixes: str, priority: int = 0, fails: Exception | None = None) -> Reader:
    def factory(config: ComponentConfig) -> Callable[[Path], Image]:
        def read(path: Path) -> Image:
            if fails:
                raise fails
            return Image(np.zeros((1, 1)), "YX", {}, ())

        read.__name__ = name
        return read

    return Reader(name=name, summary="", factory=factory, suffixes=suffixes, priority=priority)


def registry(*components: Any) -> Registry:
    return Registry([], [Registered("toys", component) for component in components])


def names(found: list[Registered]) -> list[str]:
    return [entry.component.name for entry in found]


def test_longest_suffix_then_priority_then_name() -> None:
    readers = registry(
        reader("any-tiff", ".tif", ".tiff", priority=9),
        reader("b", ".tiff"),
        reader("ome", ".ome.tiff"),
        reader("a", ".tiff"),
        reader("png", ".png"),
    )
    assert names(by_suffix(readers, "reader", Path("x.ome.tiff"))) == ["ome", "any-tiff", "a", "b"]
    assert names(by_suffix(readers, "reader", Path("x.TIFF"))) == ["any-tiff", "a", "b"]
    assert names(by_suffix(readers, "reader", Path("tiff"))) == []
    assert known_suffixes(readers) == (".ome.tiff", ".png", ".tif", ".tiff")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that exists; what is in it does not matter here."""
    path = tmp_path / "x.tiff"
    path.write_bytes(b"?")
    return path


def test_next_reader_is_tried_and_each_is_built_once(path: Path) -> None:
    built: list[str] = []

    def factory(config: ComponentConfig) -> Callable[[Path], Image]:
        built.append("good")
        return lambda path: Image(np.zeros((2, 3)), "YX", {}, ())

    good = Reader(name="good", summary="", factory=factory, suffixes=(".tiff",))
    load = image_loader(registry(reader("bad", ".tiff", priority=1, fails=DataError("no")), good))
    assert load(path).shape == (2, 3)
    assert load(path).shape == (2, 3)
    assert built == ["good"]


def test_all_readers_and_their_reasons_are_named(path: Path) -> None:
    readers = registry(
        reader("one", ".tiff", priority=1, fails=DataError("header is cut", "copy it again")),
        reader("two", ".tiff", fails=ValueError("unforeseen")),
    )
    with pytest.raises(DataError) as caught:
        image_loader(readers)(path)
    assert str(path) in caught.value.message
    assert "one: header is cut" in caught.value.message
    assert "two: ValueError: unforeseen" in caught.value.message
    assert caught.value.hint == "copy it again"


def test_a_reader_that_needs_a_setting_does_not_stop_the_others(path: Path) -> None:
    class Settings(ComponentConfig):
        axes: str

    needy = replace(reader("needy", ".tiff", priority=1), config=Settings)
    assert image_loader(registry(needy, reader("good", ".tiff")))(path).axes == "YX"
    with pytest.raises(DataError, match="needy: ValidationError"):
        image_loader(registry(needy))(path)


def test_no_reader_for_the_suffix(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        image_loader(registry(reader("png", ".png")))(path)
    assert "'.tiff'" in caught.value.message
    assert 'pip install "im2im-io[aicsimageio]"' in caught.value.hint
    assert ".png" in caught.value.hint
    with pytest.raises(DataError) as caught:
        image_loader(registry())(path)
    assert caught.value.hint == "pip install im2im-io"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        image_loader(registry(reader("tiff", ".tiff")))(tmp_path / "missing.tiff")


def test_the_chosen_reader_alone_is_used(path: Path) -> None:
    chosen = reader("chosen", ".czi", fails=DataError("mine only"))
    choice = Choice("chosen", "toys", chosen, ComponentConfig())
    with pytest.raises(DataError) as caught:
        image_loader(registry(chosen, reader("other", ".tiff")), choice)(path)
    assert "readers tried: chosen: mine only" in caught.value.message


def test_writer_by_suffix() -> None:
    def writer(name: str, *suffixes: str, priority: int = 0) -> Writer:
        return Writer(name=name, summary="", factory=lambda config: name, suffixes=suffixes, priority=priority)

    writers = registry(writer("plain", ".tiff"), writer("better", ".tiff", priority=1), writer("zarr", ".ome.zarr"))
    assert image_writer(writers, Path("a.tiff")) == "better"
    assert image_writer(writers, Path("a.ome.zarr")) == "zarr"
    with pytest.raises(OutputError) as caught:
        image_writer(writers, Path("a.xyz"))
    assert caught.value.message == "no installed writer makes 'a.xyz'"
    assert ".ome.zarr, .tiff" in caught.value.hint
    with pytest.raises(OutputError, match="no installed writer") as caught:
        image_writer(registry(), Path("a.tiff"))
    assert "pip install im2im-io" in caught.value.hint
