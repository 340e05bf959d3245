"""What a user waits for before anything happens: nothing heavy may load for a command that needs none of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from im2im_core.plugin_template import KINDS, new_plugin
from im2im_core.registry import Registry

HEAVY = {
    "torch",
    "monai",
    "pytorch_lightning",
    "aicsimageio",
    "skimage",
    "scipy",
    "numba",
    "matplotlib",
    "torchmetrics",
}
CODE = """
import json, sys
from im2im_core.cli import main
before = sorted(sys.modules)
try:
    main()
except SystemExit as end:
    code = end.code or 0
print("\\n" + json.dumps([code, before, sorted(sys.modules)]))
"""


def run(*arguments: str, folder: Path | None = None, path: Sequence[Path] = ()) -> tuple[int, set[str], set[str], str]:
    """Exit code, modules before and after the command, and its output, of a fresh process."""
    result = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, path))},
    )
    output, _, last = result.stdout.rstrip("\n").rpartition("\n")
    code, before, after = json.loads(last)
    return code, set(before), set(after), output + result.stderr


def component(kind: str) -> str:
    return Registry.discover().components(kind)[0].qualified


def dry_run() -> list[str]:
    return ["train", "--model", component("model"), "--data", "x", "--dry-run"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["list"],
        ["list", "transforms"],
        ["list", "optimizers"],
        ["plugins"],
        ["show", "trainer", "lightning"],
        ["show", "transform", "RandFlipd"],
        ["show", "optimizer", "adamw"],
        ["show", "loss", "mse"],
        ["train", "--model", "no-such-model", "--data", "x"],
    ],
    ids=" ".join,
)
def test_torch_is_not_loaded(arguments: list[str]) -> None:
    code, _, after, output = run(*arguments)
    assert code == (1 if "no-such-model" in arguments else 0), output
    assert not HEAVY & after
    assert output.strip()


@pytest.mark.parametrize("command", ["dry-run", "init"])
def test_torch_is_not_loaded_for_the_settings_of_a_model(command: str, tmp_path: Path) -> None:
    arguments = dry_run() if command == "dry-run" else ["init", "--model", component("model")]
    code, _, after, output = run(*arguments, folder=tmp_path)
    assert code == 0, output
    assert not HEAVY & after


def test_torch_is_not_loaded_for_a_missing_data_folder(tmp_path: Path) -> None:
    arguments = [argument for argument in dry_run() if argument != "--dry-run"]
    code, _, after, output = run(*arguments, folder=tmp_path)
    assert code == 1
    assert "error: " in output
    assert "torch" not in after


def test_help_loads_typer_and_little_else() -> None:
    code, before, after, output = run("--help")
    assert code == 0
    assert "train" in output
    assert not {"pydantic", "pluggy", "rich", "yaml", "numpy"} & before
    assert not {"pydantic", "pluggy", "yaml", "numpy"} & after


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, im2im_core; print(sorted({'torch', 'pydantic', 'pluggy', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_twenty_plugins_more_load_no_torch_either(tmp_path: Path) -> None:
    """Whole ones, each with a component of every kind, as `im2im new plugin` writes them."""
    names = [f"many-{letter}" for letter in "abcdefghijklmnopqrst"]
    sources = []
    for name in names:
        package = new_plugin(name, KINDS, tmp_path, license_name="MIT", author="A. Author")
        sources.append(package / "src")
        metadata = tmp_path / "site" / f"im2im_{name.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: im2im-{name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[im2im]\n{name} = im2im_{name.replace('-', '_')}.plugin\n")
    for command in (["list"], ["plugins"], ["show", "loss", names[0]]):
        code, _, after, output = run(*command, path=[tmp_path / "site", *sources])
        assert code == 0, output
        assert not HEAVY & after
        assert all(name in output for name in names) or command[0] == "show"
        assert "broken" not in output
