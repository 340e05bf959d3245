"""The schema takes what `im2im train` takes, and refuses what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from im2im_core.config import resolve
from im2im_core.registry import Registry
from im2im_core.run_schema import run_schema

jsonschema = pytest.importorskip("jsonschema")
REGISTRY = Registry.discover()
PRESETS = [entry.component.name for entry in REGISTRY.components("preset")]
MODELS = [entry.component.name for entry in REGISTRY.components("model")]


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = run_schema(REGISTRY)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def problems(validator: Any, settings: Any) -> list[str]:
    return [error.message for error in validator.iter_errors(settings)]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_resolved(validator: Any, preset: str) -> None:
    settings = resolve(REGISTRY, preset=preset, flags={"dataset": {"path": "x"}}).to_dict()
    assert problems(validator, settings) == []


def test_what_is_short_for_more(validator: Any) -> None:
    assert problems(validator, {}) == []
    assert problems(validator, {"loss": "mse", "scheduler": None, "metrics": ["dice"], "seed": 3}) == []
    assert problems(validator, {"dataset": {"batch_size": 3}}) == []
    assert problems(validator, {"loss": {"name": "builtin/mse"}, "optimizer": {"name": "adamw", "lr": 0.1}}) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"sead": 3},
        {"seed": -1},
        {"loss": "mze"},
        {"loss": {"name": "mze"}},
        {"dataset": {"name": "paired", "batch_sise": 3}},
        {"dataset": {"name": "paired", "batch_size": 0}},
        {"dataset": {"name": "paired", "cache": "disk"}},
        {"trainer": {"name": "lightning", "max_epochs": "many"}},
        {"metrics": "dice"},
        {"preprocessing": [{"name": "normalize-percentile", "low": 200}]},
    ],
    ids=str,
)
def test_what_is_refused(validator: Any, settings: dict[str, Any]) -> None:
    assert problems(validator, settings)
