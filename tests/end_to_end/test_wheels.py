"""Plug-ins as users get them: wheels in a clean environment, not editable installs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [
    ROOT,
    *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")),
    *sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml")),
]
PACKAGES = ("im2im_core", "im2im_embedseg", "im2im_fcn", "im2im_gan", "im2im_io", "im2im_example", "im2im_stars")
OWN = ("im2im", "__editable__")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    # Without the variables of the machine, so that nothing of the checkout is importable by accident.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "IM2IM_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copy_sources(project: Path, target: Path) -> Path:
    """What git would hand out, so that no left-over of an earlier build gets into the wheel."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=project)
    for name in listed.split("\0"):
        if name and (project / name).is_file() and not (project == ROOT and name.startswith(("plugins/", "examples/"))):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((project / name).read_bytes())
    return target


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    pytest.importorskip("build", reason="build comes with requirements-dev.txt")
    folder = tmp_path_factory.mktemp("wheels")
    for number, project in enumerate(PROJECTS):
        source = copy_sources(project, folder / "sources" / str(number))
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source, cwd=folder)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Path:
    """Scripts of an environment with our wheels, and the other packages of this one linked into it."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(scripts / "python", "-c", program, cwd=folder).strip())
    run(
        *(sys.executable, "-m", "pip", "--python", scripts / "python", "install"),
        *("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", *wheels),
        cwd=folder,
    )
    # A .pth file would bring our own editable installs along, so every other package is linked one by one.
    for place in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")):
        for entry in Path(place).iterdir():
            mine = entry.name.lower().startswith(OWN) or entry.suffix == ".pth"
            if not mine and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
    return scripts


def test_a_wheel_per_project(wheels: list[Path]) -> None:
    names = {wheel.name.partition("-")[0] for wheel in wheels}
    assert names == {*PACKAGES}
    assert len(wheels) == len(PROJECTS)


def test_nothing_comes_from_the_checkout(clean: Path, tmp_path: Path) -> None:
    program = f"import importlib, json; print(json.dumps([importlib.import_module(m).__file__ for m in {PACKAGES!r}]))"
    for file in json.loads(run(clean / "python", "-c", program, cwd=tmp_path)):
        assert Path(file).is_relative_to(clean.parent), file


def test_plug_ins_are_active_from_wheels(clean: Path, tmp_path: Path) -> None:
    lines = run(clean / "im2im", "plugins", cwd=tmp_path).splitlines()
    states = {line.split()[0]: line for line in lines[1:] if line and not line.startswith(" ")}
    assert set(states) == {"builtin", "embedseg", "example", "fcn", "gan", "io", "stars"}
    assert all("active" in line for line in states.values()), states


def test_components_and_their_settings_are_found(clean: Path, tmp_path: Path) -> None:
    models = run(clean / "im2im", "list", "models", cwd=tmp_path)
    assert "embedseg" in models
    assert "image-to-image" in models
    assert "tifffile" in run(clean / "im2im", "list", "readers", cwd=tmp_path)
    settings = run(
        *(clean / "im2im", "train", "--model", "image-to-image", "--data", "pairs", "--dry-run"), cwd=tmp_path
    )
    assert "dilated" in settings


def test_types_and_templates_are_in_the_wheels(clean: Path) -> None:
    site = next(clean.parent.rglob("im2im_core")).parent
    for package in ("im2im_core", "im2im_embedseg", "im2im_io", "im2im_example", "im2im_stars"):
        assert (site / package / "py.typed").is_file()
    templates = sorted(path.name for path in (ROOT / "im2im_core" / "templates").iterdir())
    assert sorted(path.name for path in (site / "im2im_core" / "templates").iterdir()) == templates
    assert not (site / "tests").exists()


def test_factories_build_from_wheels(clean: Path, tmp_path: Path) -> None:
    program = (
        "from im2im_core.registry import Registry\n"
        "declared = Registry.discover().get('network', 'branched-erfnet').component\n"
        "built = declared.factory(declared.config(), spatial_dims=2, in_channels=1, out_channels=4)\n"
        "print(sum(p.numel() for p in built.parameters()))\n"
    )
    assert int(run(clean / "python", "-c", program, cwd=tmp_path)) > 1_000_000


def test_the_larger_example_passes_the_kit_from_its_wheel(clean: Path, tmp_path: Path) -> None:
    out = run(clean / "im2im", "plugins", "check", "stars", cwd=tmp_path)
    assert "checks passed" in out, out


def test_a_plugin_from_an_empty_folder(clean: Path, tmp_path: Path) -> None:
    """Written, built, installed, checked, trained with, predicted with: nothing of it was changed by hand."""
    pytest.importorskip("build", reason="build comes with requirements-dev.txt")
    run(clean / "im2im", "new", "plugin", "my-method", "--author", "A. Author", cwd=tmp_path)
    package = tmp_path / "im2im-my-method"
    run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", package, cwd=tmp_path
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    install = ("install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", wheel)
    run(sys.executable, "-m", "pip", "--python", clean / "python", *install, cwd=tmp_path)
    try:
        assert "checks passed" in run(clean / "im2im", "plugins", "check", "my-method", cwd=tmp_path)
        program = (
            "from pathlib import Path; from im2im_core.demo_images import write_demo; "
            "from im2im_core.formats import image_writer; from im2im_core.registry import Registry; "
            "write_demo(Path('demo'), 4, 1, 0, image_writer(Registry.discover(), Path('a.tiff')).write, size=128)"
        )
        run(clean / "python", "-c", program, cwd=tmp_path)
        settings = ("--set", "trainer.max_epochs=2", "--set", "trainer.accelerator=cpu")
        run(clean / "im2im", "train", "--model", "my-method", "--data", "demo/train", *settings, cwd=tmp_path)
        (bundle,) = tmp_path.glob("runs/*/bundle")
        run(clean / "im2im", "predict", bundle, "demo/test", "out", cwd=tmp_path)
        assert len(list((tmp_path / "out").glob("*.tiff"))) == 1
    finally:
        uninstall = ("uninstall", "--yes", "--quiet", "im2im-my-method")
        run(sys.executable, "-m", "pip", "--python", clean / "python", *uninstall, cwd=tmp_path)
    assert "my-method" not in run(clean / "im2im", "plugins", cwd=tmp_path)
