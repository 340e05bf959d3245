"""Checks of what a plug-in declares, whatever the kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from im2im_core.components import Component
from im2im_core.registry import PluginInfo
from im2im_core.testing.checks import Subject, require

HEAVY = ("torch", "monai", "pytorch_lightning", "aicsimageio", "skimage")
LONGEST_SUMMARY = 140
_LOAD = """
import importlib, sys
module = importlib.import_module(sys.argv[1])
for value in list(vars(module).values()):
    if callable(value) and hasattr(value, "im2im_impl"):
        list(value())
print(",".join(name for name in sys.argv[2:] if name in sys.modules))
"""


def of_component(component: Component) -> list[Callable[[Subject], None]]:
    """All of them."""
    return [check_summary, check_settings_are_described, check_defaults, check_settings_survive_a_file]


def needs_settings(subject: Subject) -> bool:
    """Whether something must be given that has no default."""
    try:
        assert subject.config is not None
    except ValidationError:
        return True
    return False


def check_is_active(info: PluginInfo) -> None:
    """The plug-in is imported, states its API, and all that it declares can be used."""
    require(info.state == "active", f"plug-in '{info.name}' is {info.state}: {info.reason}")


def check_loads_no_torch(info: PluginInfo) -> None:
    """Declarations load none of torch, MONAI, Lightning, aicsimageio, scikit-image: `im2im --help` waits for them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", _LOAD, info.module, *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    require(done.returncode == 0, f"'{info.module}' cannot be imported alone: {done.stderr.strip().splitlines()[-1:]}")
    loaded = done.stdout.strip().splitlines()[-1:] or [""]
    require(not loaded[0], f"'{info.module}' loads {loaded[0]}; import it inside the factory")


def check_summary(subject: Subject) -> None:
    """The summary is one line."""
    summary = subject.component.summary
    require(summary.strip() and "\n" not in summary, "summary is empty or has several lines")
    require(len(summary) <= LONGEST_SUMMARY, f"summary has {len(summary)} characters, more than {LONGEST_SUMMARY}")


def check_settings_are_described(subject: Subject) -> None:
    """Every setting has a description, which `im2im show` prints."""
    for owner, field, info in _fields(subject.component.config):
        require((info.description or "").strip(), f"setting '{owner}{field}' has no description")


def check_defaults(subject: Subject) -> None:
    """The defaults are valid settings, of which none can be changed by accident and none is unknown."""
    config = subject.component.config
    require(config.model_config.get("extra") == "forbid", f"'{config.__name__}' takes settings of any name")
    require(config.model_config.get("frozen"), f"'{config.__name__}' can be changed after validation")
    if not any(info.is_required() for info in config.model_fields.values()):
        made = _default(subject)
        if made is not None:
            config.model_validate(made.model_dump())


def check_settings_survive_a_file(subject: Subject) -> None:
    """Settings written as JSON or YAML are the same when they are read again."""
    made = _default(subject)
    if made is None:
        return
    plain = made.model_dump(mode="json")
    for text, read in ((json.dumps(plain), json.loads), (yaml.safe_dump(plain), yaml.safe_load)):
        again = type(made).model_validate(read(text))
        require(again == made, f"settings change on their way through a file: '{made}' becomes '{again}'")


def _default(subject: Subject) -> Any:
    """Default settings; None where a user has to give some."""
    try:
        return subject.config
    except ValidationError as error:
        require(_only_missing(error), f"the defaults are no valid settings: {error}")
        return None


def _only_missing(error: Any) -> bool:
    """Whether a user has to give something: a field, or one of several, as the validator of the whole says."""
    return all(problem["type"] == "missing" or not problem["loc"] for problem in error.errors())


def _fields(config: type[BaseModel], owner: str = "") -> list[tuple[str, str, Any]]:
    found = []
    for name, info in config.model_fields.items():
        found.append((owner, name, info))
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _fields(inner, f"{owner}{name}.")
    return found
