"""The site: built strictly, its reference says what the code says, and no page is a stub."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from im2im_core.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
AGAIN = "make reference"


def generator() -> ModuleType:
    described = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    assert described and described.loader
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


def test_the_reference_is_current() -> None:
    made = generator()
    missing = set(made.FIRST_PARTY) - {info.name for info in Registry.discover().plugins if info.state == "active"}
    if missing:
        pytest.skip(f"the reference is of all first-party plug-ins, and {', '.join(sorted(missing))} is not installed")
    for name, text in made.pages().items():
        assert (DOCS / "reference" / name).read_text(encoding="utf-8") == text, f"{name} is old: run {AGAIN}"


def test_it_builds_strictly(tmp_path: Path) -> None:
    """Unknown links, anchors, pages outside the navigation and objects without docstrings are errors."""
    pytest.importorskip("mkdocs", reason="mkdocs comes with requirements-dev.txt")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    built = {path.relative_to(tmp_path / "site").with_suffix("") for path in (tmp_path / "site").rglob("*.html")}
    assert {page.relative_to(DOCS).with_suffix("") for page in PAGES} <= built
    assert "TrainedModel" in (tmp_path / "site" / "reference" / "python.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_page_is_a_stub(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(text.split()) > 60
    assert not any(word in text for word in ("TODO", "TBD", "coming soon", "lorem"))
