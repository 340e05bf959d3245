"""Ten plug-ins, each broken in its own way, beside those that work: each is named, and nothing else suffers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

START = """from im2im_core import ComponentConfig, Loss, Network, hookimpl
from pydantic import Field

IM2IM_API = 1


class Settings(ComponentConfig):
    gain: float = Field(default=1.0, description="a factor")


def _network(config, *, spatial_dims, in_channels, out_channels):
    from torch import nn

    return (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(in_channels, out_channels, 3, padding=1)


def _loss(config):
    from torch import nn

    class Squares(nn.Module):
        def forward(self, prediction, target, costmap=None):
            return ((prediction - target) ** 2 * (1 if costmap is None else costmap)).mean()

    return Squares()


@hookimpl
def im2im_networks():
    yield Network(name="NAME-net", summary="a network", factory=_network, config=Settings)


@hookimpl
def im2im_losses():
    yield Loss(name="NAME-loss", summary="a loss", factory=_loss, tasks=("restoration",))
"""
# Name: what is written in place of what, and what the registry says of it.
REFUSED = {
    "import-error": ("from pydantic", "import nothing_like_it\nfrom pydantic", "import failed: ModuleNotFoundError"),
    "wrong-api": ("IM2IM_API = 1", "IM2IM_API = 7", "written for API 7"),
    "unknown-hook": ("def im2im_networks", "def im2im_netwroks", "did you mean im2im_networks?"),
    "wrong-type": ('yield Loss(name="NAME-loss"', 'yield dict(name="NAME-loss"', "yielded dict, not Loss"),
    "raising": (
        "    yield Loss(",
        '    raise RuntimeError("no")\n    yield Loss(',
        "im2im_losses failed: RuntimeError: no",
    ),
    "duplicate": (
        '    yield Network(name="NAME-net", ',
        '    yield Network(name="NAME-net", summary="", factory=_network)\n    yield Network(name="NAME-net", ',
        "yields 'duplicate-net' twice",
    ),
}  # fmt: skip
# What the registry takes and the kit does not: also the check that names it.
FAILING = {
    "torch-at-import": ("from pydantic", "import torch\nfrom pydantic", "plugin-torch-at-import-loads-no-torch"),
    "undescribed": (', description="a factor"', "", "network-undescribed-net-settings-are-described"),
    "shrinking": (", 3, padding=1)", ", 3)", "network-shrinking-net-keeps-the-size"),
    "no-gradient": ("((prediction - ", "((prediction.detach() - ", "loss-no-gradient-loss-is-differentiable"),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with their metadata, as pip leaves them."""
    folder = tmp_path_factory.mktemp("site")
    for name, (old, new, _) in {**REFUSED, **FAILING, "fine": ("", "", "")}.items():
        package = folder / f"{name.replace('-', '_')}_plugin"
        package.mkdir()
        (package / "__init__.py").touch()
        assert old in START
        (package / "plugin.py").write_text((START.replace(old, new) if old else START).replace("NAME", name))
        metadata = folder / f"im2im_{name.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: im2im-{name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[im2im]\n{name} = {package.name}.plugin\n")
    return folder


def im2im(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "300"}
    code = "import sys; from im2im_core.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def test_the_registry_names_those_that_it_refuses(installed: Path) -> None:
    done = im2im(installed, "plugins")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    for name, (_, _, reason) in REFUSED.items():
        assert "broken" in lines[name]
        assert reason in lines[name]
    for name in ("fine", "builtin", *FAILING):
        assert "active" in lines[name]


def test_the_others_work(installed: Path) -> None:
    done = im2im(installed, "list", "networks")
    assert done.returncode == 0, done.stderr
    assert "fine-net" in done.stdout
    assert "duplicate-net" not in done.stdout
    shown = im2im(installed, "show", "network", "fine-net")
    assert shown.returncode == 0
    assert "a factor" in shown.stdout


@pytest.mark.parametrize("name", FAILING)
def test_the_kit_names_what_the_registry_cannot_see(installed: Path, name: str) -> None:
    done = im2im(installed, "plugins", "check", name, "--only", FAILING[name][2])
    assert done.returncode == 1, done.stderr
    assert f"failed {FAILING[name][2]}: " in done.stdout
    assert "Traceback" not in done.stderr


def test_a_plugin_that_is_fine_passes(installed: Path) -> None:
    done = im2im(installed, "plugins", "check", "fine")
    assert done.returncode == 0, done.stdout
    assert "0 could not be made" in done.stdout
    refused = im2im(installed, "plugins", "check", "wrong-api")
    assert refused.returncode == 1
    assert "written for API 7" in refused.stdout


def test_uninstalling_what_is_not_there(installed: Path) -> None:
    done = im2im(installed, "plugins", "uninstall", "nobody")
    assert done.returncode == 1
    assert "there is no plug-in 'nobody'" in done.stderr
    assert "built-in" in im2im(installed, "plugins", "uninstall", "builtin").stderr
