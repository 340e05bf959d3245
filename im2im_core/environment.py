"""What a run was made with: versions, machine, command line."""

from __future__ import annotations

import platform
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from im2im_core.registry import Registry

PACKAGES = (
    "im2im-core",
    "torch",
    "pytorch-lightning",
    "monai",
    "numpy",
    "scipy",
    "scikit-image",
    "pydantic",
    "pluggy",
    "tifffile",
    "zarr",
)


def package_version(name: str) -> str:
    """Version of an installed distribution, or empty."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def environment(registry: Registry, command: list[str] | None = None) -> dict[str, Any]:
    """Plain JSON types for `environment.json`."""
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": list(sys.argv if command is None else command),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "plugins": {
            info.name: {"distribution": info.distribution, "version": info.version, "state": info.state}
            for info in registry.plugins
        },
    }
