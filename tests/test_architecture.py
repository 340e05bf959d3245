"""Rules of the house that a machine can check: direction of imports, names, lengths, start-up, nothing dangerous."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = sorted(path.parent for path in [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")])
PACKAGES = [
    ROOT / "im2im_core",
    *sorted(path for path in ROOT.glob("plugins/*/src/*") if (path / "__init__.py").exists()),
]
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
EXAMPLES = sorted(ROOT.glob("examples/*/src/**/*.py"))
HEAVY = (
    "torch",
    "monai",
    "pytorch_lightning",
    "aicsimageio",
    "bioio",
    "skimage",
    "scipy",
    "matplotlib",
    "numba",
    "dask",
)
LONGEST = 300
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "base.py", "manager.py", "misc.py", "common.py"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def entry_points() -> Iterator[tuple[str, str]]:
    for project in PROJECTS:
        content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        yield from content["entry-points"]["im2im"].items()


def test_the_packages_are_found() -> None:
    assert {package.name for package in PACKAGES} >= {"im2im_core", "im2im_embedseg", "im2im_io"}
    assert len(SOURCES) > 50


def test_imports_go_one_way() -> None:
    pytest.importorskip("importlinter", reason="import-linter comes with requirements-dev.txt")
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_has_a_telling_name_and_can_be_read_at_once(path: Path) -> None:
    assert path.name not in FORBIDDEN_NAMES
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{lines} lines: split it"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_types_are_shipped(package: Path) -> None:
    assert (package / "py.typed").is_file()


def test_declarations_and_settings_load_nothing_heavy() -> None:
    modules = [module for _, module in entry_points()] + ["im2im_core", "im2im_core.config", "im2im_core.registry"]
    modules += [f"{package.name}.config" for package in PACKAGES]
    program = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "from im2im_core.registry import Registry\n"
        "registry = Registry.discover()\n"
        "bad = [info.name for info in registry.plugins if info.state != 'active']\n"
        f"print(json.dumps([[name for name in {HEAVY!r} if name in sys.modules], bad]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    loaded, not_active = json.loads(done.stdout.splitlines()[-1])
    assert loaded == []
    assert not_active == []


def test_factories_of_declarations_are_where_the_heavy_imports_are() -> None:
    """Every module that an entry point names, and the settings beside it, has its heavy imports inside functions."""
    light = [path for path in SOURCES if path.stem == "plugin" or path.stem.endswith(("config", "declarations"))]
    assert len(light) > 5
    for path in light:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top = [name for node in tree.body for name in imported(node)]
        assert not set(top) & set(HEAVY), name_of(path)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [(node.module or "").partition(".")[0]]
    return []


def dangers(tree: ast.AST) -> Iterator[str]:
    """What lets a file run code, or ties a model to one kind of device."""
    for node in ast.walk(tree):
        if set(imported(node)) & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}:
            yield f"line {node.lineno}: pickle"
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        owner = (
            node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        )
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if called in {"eval", "exec", "compile", "__import__"}:
            yield f"line {node.lineno}: {called}()"
        if method in {"cuda", "unsafe_load", "full_load"} and owner != "torch":
            yield f"line {node.lineno}: .{method}()"
        if owner == "torch" and method == "load" and not is_true(given.get("weights_only")):
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if owner == "yaml" and method == "load":
            yield f"line {node.lineno}: yaml.load"
        if owner in {"np", "numpy"} and method == "load" and is_true(given.get("allow_pickle")):
            yield f"line {node.lineno}: numpy.load with pickles"
        if (
            "weights_only" in given
            and not is_true(given["weights_only"])
            and isinstance(given["weights_only"], ast.Constant)
        ):
            yield f"line {node.lineno}: weights_only={given['weights_only'].value}"


def is_true(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "import pickle",
        "from pickle import loads",
        "model.cuda()",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "load(path, weights_only=False)",
        "yaml.load(text)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_search_finds(code: str) -> None:
    assert list(dangers(ast.parse(code)))


@pytest.mark.parametrize("path", [*SOURCES, *EXAMPLES], ids=name_of)
def test_nothing_runs_code_from_a_file_or_binds_a_device(path: Path) -> None:
    assert list(dangers(ast.parse(path.read_text(encoding="utf-8")))) == []
