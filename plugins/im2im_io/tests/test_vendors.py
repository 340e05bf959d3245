"""The readers of vendors' formats, with a stand-in for the libraries; real files are in test_shared_files.py."""

from __future__ import annotations

import importlib.util
import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest

from im2im_core.errors import DataError
from im2im_core.image import Image
from im2im_io import plugin, vendor_reader
from im2im_io.config import VendorReaderConfig

Read = Callable[..., Image]


@pytest.mark.parametrize(
    ("name", "line"),
    [("aicsimageio", 'pip install "im2im-io[aicsimageio]"'), ("bioio", 'pip install "im2im-io[bioio]"')],
)
def test_missing_library_names_the_line_to_install(name: str, line: str, monkeypatch: Any) -> None:
    for module in (plugin, vendor_reader):
        monkeypatch.setattr(module, "find_spec", lambda module: None)
    reader = next(reader for reader in plugin.im2im_readers() if reader.name == name)
    with pytest.raises(DataError, match="not installed") as caught:
        reader.factory(reader.config())
    assert line in str(caught.value)


class Container:
    """What AICSImage and BioImage have in common."""

    def __init__(self, data: da.Array, dims: str, more: dict[str, int] | None = None) -> None:
        lengths = {**dict(zip(dims, data.shape, strict=True)), **(more or {})}
        self.scenes = ("left", "right")
        self.xarray_dask_data = SimpleNamespace(dims=tuple(dims), data=data)
        self.reader = SimpleNamespace(dims=Lengths(lengths))
        self.physical_pixel_sizes = SimpleNamespace(Z=0.0, Y=0.2, X=None)
        self.channel_names = [np.str_("DAPI"), np.str_("GFP")]
        self.scene: int | None = None

    def set_scene(self, scene: int) -> None:
        self.scene = scene


class Lengths(dict[str, int]):
    @property
    def order(self) -> str:
        return "".join(self)

    def __getitem__(self, key: str) -> Any:
        return (super().__getitem__(key),)


def open_with(container: Container, scene: int | str = 0) -> Image:
    def open_scene(path: Path, wanted: int | str) -> vendor_reader.Scene:
        warnings.warn("an old function of mine", DeprecationWarning, stacklevel=1)
        return vendor_reader.scene_of(container, path, wanted)

    return vendor_reader._reader(VendorReaderConfig(scene=scene), open_scene)(Path("a.czi"))


DATA = np.arange(2 * 3 * 40 * 50, dtype=np.uint16).reshape(1, 2, 3, 40, 50)


def test_axes_sizes_and_names() -> None:
    image = open_with(Container(da.from_array(DATA, chunks=(1, 1, 1, 40, 50)), "TCZYX"))
    assert image.axes == "TCZYX"
    assert image.pixel_size == {"Y": 0.2}
    assert image.channel_names == ("DAPI", "GFP")
    assert np.array_equal(image.compute(), DATA)
    assert image.data.chunksize == (1, 1, 1, 40, 50)


def test_colour_samples_replace_the_single_channel() -> None:
    data = np.moveaxis(DATA[:, :1], 2, -1)  # T, C, Y, X, S
    image = open_with(Container(da.from_array(data), "TCYXS"))
    assert image.axes == "TCYX"
    assert np.array_equal(image.compute(), np.moveaxis(data[:, 0], -1, 1))


def test_dimensions_that_are_left_out_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_with(Container(da.from_array(DATA), "TCZYX", more={"H": 32, "M": 7, "V": 1}))
    assert "only the first of 32 'H' is read" in caplog.text


@pytest.mark.parametrize("scene", [1, "right"])
def test_other_scene(scene: int | str) -> None:
    container = Container(da.from_array(DATA), "TCZYX")
    open_with(container, scene)
    assert container.scene == 1


@pytest.mark.parametrize("scene", [2, "middle"])
def test_missing_scene_lists_those_there_are(scene: int | str) -> None:
    with pytest.raises(DataError, match=f"no scene '{scene}'") as caught:
        open_with(Container(da.from_array(DATA), "TCZYX"), scene)
    assert "0 'left', 1 'right'" in caught.value.hint


def test_failure_in_the_middle_names_the_file() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("sub-block is broken")

    lazy = da.from_array(DATA).map_blocks(fail, dtype=DATA.dtype, meta=np.empty((0,) * 5, DATA.dtype))
    image = open_with(Container(lazy, "TCZYX"))
    with pytest.raises(DataError, match=r"a\.czi.*sub-block is broken"):
        image.compute()


def test_package_that_a_format_needs_is_named() -> None:
    def open_scene(path: Path, wanted: int | str) -> vendor_reader.Scene:
        raise ImportError("nd2 is required. Install with `pip install nd2>=0.6.0` or so")

    with pytest.raises(DataError, match=r"a\.nd2") as caught:
        vendor_reader._reader(VendorReaderConfig(), open_scene)(Path("a.nd2"))
    assert 'pip install "nd2>=0.6.0"' in caught.value.hint


def test_warnings_of_the_libraries_stay_inside(recwarn: pytest.WarningsRecorder) -> None:
    open_with(Container(da.from_array(DATA), "TCZYX"))
    assert not [warning for warning in recwarn if "old function of mine" in str(warning.message)]


@pytest.mark.parametrize("reader", ["aicsimageio", "bioio"])
@pytest.mark.parametrize("name", ["newCZI_compressed.czi", "testdata_2channel_xz.lif"])
def test_opened_file_can_be_pickled(name: str, reader: str, tmp_path: Path, shared: Path, read: Read) -> None:
    if importlib.util.find_spec(reader) is None:
        pytest.skip(f"{reader} is not installed")
    image = read(reader, shared / "formats" / name)
    sent = pickle.dumps(image)
    assert len(sent) < 20_000
    assert np.array_equal(pickle.loads(sent).compute(), image.compute())  # noqa: S301 - pickled two lines above
