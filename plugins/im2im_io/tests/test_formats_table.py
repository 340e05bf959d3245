"""The table of docs/formats.md says what each reader makes of each shared file.

python plugins/im2im_io/tests/test_formats_table.py     prints the table
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from im2im_core.cli.show import image_text
from im2im_core.formats import try_readers
from im2im_core.image import Image
from im2im_core.registry import Registry

ROOT = Path(__file__).resolve().parents[3]
FORMATS = ROOT.parent / "shared" / "formats"
HEAD = "| file | reader | what it finds |\n|---|---|---|\n"


def row(path: Path, registry: Registry) -> str:
    """What opens a file, in the order in which readers are tried."""
    opened = [(name, found) for name, found in try_readers(registry, path) if isinstance(found, Image)]
    readers = ", ".join(f"`{name}`" for name, _ in opened) or "none"
    found = image_text(opened[0][1]) if opened else ""
    return f"| `{path.name}` | {readers} | {found} |"


def files() -> list[Path]:
    return sorted(path for path in FORMATS.glob("*") if path.name != "MANIFEST.json")


@pytest.mark.skipif(not FORMATS.is_dir(), reason="the shared images are not part of the repository")
def test_the_table_is_current() -> None:
    registry = Registry.discover()
    page = (ROOT / "docs" / "formats.md").read_text()
    table = page.split(HEAD)[1].split("\n\n")[0].splitlines()
    assert len(table) == len(files())
    vendors = any(importlib.util.find_spec(name) for name in ("aicsimageio", "bioio"))
    for path in files():
        if vendors or path.suffix not in (".czi", ".lif"):
            # Where bioio is installed, it finds what aicsimageio finds elsewhere.
            assert row(path, registry).replace("`bioio`", "`aicsimageio`") in table


if __name__ == "__main__":
    found = Registry.discover()
    print(HEAD + "\n".join(row(path, found) for path in files()))
