from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from im2im_core.components import Reader, Writer
from im2im_io import config, plugin

COMPONENTS = [*plugin.im2im_readers(), *plugin.im2im_writers()]
FORMAT_LIBRARIES = ("torch", "tifffile", "zarr", "dask", "aicsimageio", "PIL", "numcodecs")


def test_readers_and_writers_have_their_names() -> None:
    readers = [component.name for component in COMPONENTS if isinstance(component, Reader)]
    writers = [component.name for component in COMPONENTS if isinstance(component, Writer)]
    assert readers[:5] == ["tifffile", "image", "numpy", "ome-zarr", "aicsimageio"]
    assert writers == ["ome-tiff", "ome-zarr", "png", "numpy"]


@pytest.mark.parametrize(("installed", "offered"), [("aicsimageio", False), ("bioio", True), ("neither", True)])
def test_bioio_is_offered_where_it_can_be(installed: str, offered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda module: object() if module == installed else None)
    assert ("bioio" in [reader.name for reader in plugin.im2im_readers()]) == offered


def test_plain_tiff_never_goes_through_aicsimageio() -> None:
    takers = [c.name for c in COMPONENTS if isinstance(c, Reader) and {".tif", ".tiff"} & set(c.suffixes)]
    assert takers == ["tifffile"]


def test_everything_that_is_written_can_be_read() -> None:
    readable = {suffix for c in COMPONENTS if isinstance(c, Reader) for suffix in c.suffixes}
    written = {suffix for c in COMPONENTS if isinstance(c, Writer) for suffix in c.suffixes}
    assert {suffix[suffix.rindex(".") :] for suffix in written} <= readable


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{c.name}")
def test_every_setting_is_described_and_has_a_default(component: Reader | Writer) -> None:
    assert component.config() is not None
    assert all(field.description for field in component.config.model_fields.values())


@pytest.mark.parametrize("axes", ["ZZYX", "SYX", "zyx"])
def test_axes_that_do_not_exist_are_refused_as_settings(axes: str) -> None:
    with pytest.raises(ValidationError, match=axes):
        config.TiffReaderConfig(axes=axes)


def test_declarations_load_no_format_library() -> None:
    listing = f"import sys, im2im_io.plugin; print([m for m in {FORMAT_LIBRARIES} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_package_declares_its_entry_point() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["im2im"] == {"io": "im2im_io.plugin"}
    assert plugin.IM2IM_API == 1


def test_the_two_extras_exclude_each_other() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert "numcodecs<0.16" in extras["aicsimageio"]
    assert "numcodecs>=0.16" in extras["bioio"]
