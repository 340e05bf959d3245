"""Sums of losses: settings, weights, warm-up, and what is told in which epoch."""

from __future__ import annotations

import pytest
import torch

from im2im_core.build import build_loss
from im2im_core.builtin.trainer_validation import EpochNumbers
from im2im_core.config import resolve
from im2im_core.errors import ConfigError
from im2im_core.registry import Registry

REGISTRY = Registry.discover()
TARGET = torch.ones(1, 1, 8, 8)
PREDICTION = torch.full((1, 1, 8, 8), 3.0)  # mse 4, l1 2


def chosen(*parts):
    loss = {"name": "sum", "parts": list(parts)}
    layer = {"model": "fcn", "dataset": {"path": "x"}, "loss": loss}
    return resolve(REGISTRY, file=layer)


def test_parts_are_weighted_and_added() -> None:
    loss = build_loss(chosen("mse", {"name": "l1", "weight": 0.5}).loss, spatial_dims=2)
    assert float(loss(PREDICTION, TARGET)) == pytest.approx(4 + 0.5 * 2)


@pytest.mark.parametrize(("shape", "factors"), [("linear", (0, 0.25, 1, 1)), ("cosine", (0, 0.14645, 1, 1))])
def test_a_part_comes_in_slowly(shape: str, factors: tuple[float, ...]) -> None:
    part = {"name": "l1", "weight": 10.0, "warmup_epochs": 4, "warmup": shape}
    loss = build_loss(chosen({"name": "mse"}, part).loss, spatial_dims=2)
    for epoch, factor in zip((0, 1, 4, 9), factors, strict=True):
        loss.set_epoch(epoch)
        assert float(loss(PREDICTION, TARGET)) == pytest.approx(4 + 10 * 2 * factor, rel=1e-4)


def test_the_trainer_tells_the_epoch_to_parts_of_parts() -> None:
    inner = {"name": "sum", "parts": [{"name": "l1", "warmup_epochs": 2}]}
    loss = build_loss(chosen(inner).loss, spatial_dims=2)
    trainer = type("T", (), {"current_epoch": 1})()
    EpochNumbers().on_train_epoch_start(trainer, torch.nn.ModuleList([loss]))
    assert float(loss(PREDICTION, TARGET)) == pytest.approx(1.0)


def test_settings_survive_the_way_through_yaml() -> None:
    first = chosen({"name": "huber", "delta": 2.0, "weight": 0.3}, "l1")
    again = resolve(REGISTRY, file=first.to_dict())
    assert again.loss.settings() == first.loss.settings()
    assert again.loss.parts[0].config.delta == 2.0 and again.loss.config.parts[0].weight == 0.3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"name": "hubber"}], r"loss\.parts\.0: unknown loss 'hubber'"),
        ([{"name": "huber", "dleta": 1}], r"loss\.parts\.0\.dleta: unknown setting; did you mean delta"),
        ([{"name": "l1", "weight": -1}], r"loss\.parts"),
        ([{"name": "dice"}], r"loss\.parts\.0: 'dice' serves"),
        ([], r"loss\.parts"),
    ],
)
def test_wrong_parts_are_named(parts, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(*parts)


def test_a_bundle_knows_who_brought_the_parts() -> None:
    nested = chosen({"name": "sum", "parts": [{"name": "pearson"}]}, "l1")
    sources = {path: choice.plugin for path, choice in nested.choices() if path.startswith("loss")}
    assert sources == {
        "loss": "builtin",
        "loss.parts.0": "builtin",
        "loss.parts.0.parts.0": "fcn",
        "loss.parts.1": "builtin",
    }
