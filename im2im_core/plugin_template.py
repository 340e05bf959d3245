"""A plug-in of somebody's own to start from: a package that installs, passes the conformance kit and trains."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from im2im_core.errors import ConfigError, OutputError
from im2im_core.files import write_beside

KINDS = (
    "model", "network", "loss", "preset", "transform", "postprocessor", "metric", "reader", "writer", "dataset",
    "discriminator", "trainer",
)  # fmt: skip
LICENSES = ("MIT", "BSD-3-Clause", "none")
TEMPLATES = Path(__file__).parent / "templates" / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# A model is trained with a network and a loss of its own, a preset is of a model, and what was written is to be read.
_WITH_IT = {"model": ("network", "loss"), "preset": ("model", "network", "loss"), "writer": ("reader",)}
_MODULES = {
    "modules": ("network", "loss"),
    "model": ("model",),
    "arrays": ("transform", "postprocessor", "metric"),
    "reader": ("reader",),
    "writer": ("writer",),
    "pairs": ("dataset",),
    "dataset": ("dataset",),
    "judge": ("discriminator",),
    "trainer": ("trainer",),
}
_WITH_SETTINGS = {"network", "loss", "transform", "postprocessor", "dataset", "discriminator", "trainer"}
_WITH_TORCH = {"network", "loss", "model", "dataset", "discriminator", "trainer"}


def new_plugin(name: str, kinds: tuple[str, ...], folder: Path, *, license_name: str, author: str) -> Path:
    """Write the package whole or not at all.

    Args:
        name: of the plug-in and its components: lower case, words joined by '-'.
        kinds: what it brings.
        folder: where the package's folder is made.
        license_name: one of LICENSES.
        author: who.

    Returns:
        The package's folder, `im2im-NAME`.

    Raises:
        ConfigError: the name, a kind or the licence cannot be.
        OutputError: the folder exists already or cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no name for a plug-in", "lower case, words joined by '-': my-method")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"there is no template for '{unknown[0]}'", f"kinds: {', '.join(KINDS)}")
    if license_name not in LICENSES:
        raise ConfigError(f"there is no text of the licence '{license_name}'", f"choose: {', '.join(LICENSES)}")
    package = folder / f"im2im-{name}"
    if package.exists():
        raise OutputError(f"'{package}' exists already", "choose another name, or another folder with --out")
    chosen = tuple(kind for kind in KINDS if kind in kinds or any(kind in _WITH_IT.get(k, ()) for k in kinds))
    with write_beside(package) as beside:
        for path, text in _files(name, chosen, license_name, author).items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text, encoding="utf-8")
    return package


def _imports(names: list[str]) -> str:
    """On one line, or one for each name where that is too long."""
    line = f"from im2im_core import {', '.join(names)}"
    return line if len(line) <= 120 else "\n".join(["from im2im_core import (", *(f"    {n}," for n in names), ")"])


def _files(name: str, kinds: tuple[str, ...], license_name: str, author: str) -> dict[str, str]:
    """Path inside the package -> text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    major, minor, *_ = version("im2im-core").split(".")
    package = f"im2im_{name.replace('-', '_')}"
    values = {
        "name": name,
        "plugin": name,
        "package": package,
        "distribution": f"im2im-{name}",
        "kinds": kinds,
        "imports": _imports(["ComponentConfig", *sorted(kind.capitalize() for kind in kinds), "hookimpl"]),
        "settings": bool(_WITH_SETTINGS & set(kinds)),
        "torch": bool(_WITH_TORCH & set(kinds)),
        "lightning": bool({"dataset", "trainer"} & set(kinds)),
        "license": license_name,
        "author": author,
        "year": datetime.now(tz=UTC).year,
        "core": f"{major}.{minor}",
        "core_next": f"{major}.{int(minor) + 1}",
    }
    # What is rendered is Python and TOML, never a page.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )

    def render(template: str) -> str:
        text = environment.get_template(f"{template}.j2").render(values)
        if template.endswith(".py"):
            # Conditions leave gaps; before a definition there are two empty lines.
            text = re.sub(r"\n{2,}(?=@|class |def )", "\n\n\n", text)
        return text.rstrip("\n") + "\n"

    files = {
        "pyproject.toml": render("pyproject.toml"),
        "README.md": render("README.md"),
        ".github/workflows/test.yml": render("workflow.yml"),
        "tests/test_conformance.py": render("test_conformance.py"),
        f"src/{package}/__init__.py": f'"""{values["distribution"]}, a plug-in of im2im."""\n',
        f"src/{package}/py.typed": "",
        f"src/{package}/plugin.py": render("plugin.py"),
    }
    for module, needed_by in _MODULES.items():
        if set(needed_by) & set(kinds):
            files[f"src/{package}/{module}.py"] = render(f"{module}.py")
    if license_name != "none":
        files["LICENSE"] = render(f"LICENSE-{license_name}")
    return files
