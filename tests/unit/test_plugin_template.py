"""What `im2im new plugin` writes, for each kind: it passes the linter, the types and the conformance kit."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from im2im_core import ConfigError, OutputError
from im2im_core.plugin_template import KINDS, LICENSES, TEMPLATES, new_plugin
from im2im_core.testing import checks_of


def written(folder: Path, name: str, *kinds: str, license_name: str = "MIT") -> Path:
    return new_plugin(name, kinds, folder, license_name=license_name, author="A. Author")


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_the_kit(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = written(tmp_path, f"a-{kind}", kind)
    monkeypatch.syspath_prepend(package / "src")
    checks = checks_of(f"im2im_a_{kind}.plugin")
    assert any(check.name.startswith(f"{kind}-a-{kind}-") for check in checks)
    for check in checks:
        check()


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [KINDS])
def test_its_code_is_clean(kinds: tuple[str, ...], tmp_path: Path) -> None:
    package = written(tmp_path, "mine", *kinds)
    rules = ["--isolated", "--line-length", "120", "--select", "E,F,W,I,B,UP,RUF,D100,D101,D102,D103"]
    for command in (["check", *rules], ["format", "--isolated", "--line-length", "120", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, str(package)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    described = tomllib.loads((package / "pyproject.toml").read_text())
    assert described["project"]["entry-points"]["im2im"] == {"mine": "im2im_mine.plugin"}
    assert "im2im plugins check mine" in (package / "README.md").read_text()


@pytest.mark.parametrize("license_name", LICENSES)
def test_licences(license_name: str, tmp_path: Path) -> None:
    package = written(tmp_path, "mine", "loss", license_name=license_name)
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert (package / "LICENSE").exists() == ("license" in project) == (license_name != "none")
    if license_name != "none":
        assert project["license"] == license_name
        assert "A. Author" in (package / "LICENSE").read_text()


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'My Method'"):
        written(tmp_path, "My Method", "loss")
    with pytest.raises(ConfigError, match="'cheese'"):
        written(tmp_path, "mine", "cheese")
    with pytest.raises(ConfigError, match="'GPL'"):
        written(tmp_path, "mine", "loss", license_name="GPL")
    written(tmp_path, "mine", "loss")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="exists already"):
        written(tmp_path, "mine", "network")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_model_is_that_of_the_example() -> None:
    """The tutorial explains what the template writes."""
    example = Path(__file__).resolve().parents[2] / "examples" / "im2im_example" / "src" / "im2im_example" / "model.py"
    assert (TEMPLATES / "model.py.j2").read_text() == example.read_text()
