"""Optimizers and schedules by name."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch

from im2im_core.builtin.optim import build_optimizer, build_scheduler
from im2im_core.errors import ComponentError, ConfigError
from im2im_core.optim import (
    OPTIMIZERS,
    SCHEDULERS,
    check_optimizer,
    check_scheduler,
    find_optimizer,
    optimizer_signature,
    scheduler_signature,
)

NEEDED = {
    "step": {"step_size": 2},
    "multi-step": {"milestones": [1, 2]},
    "exponential": {"gamma": 0.5},
    "cosine-restarts": {"T_0": 2},
}
TRAINER = SimpleNamespace(estimated_stepping_batches=40, max_epochs=10)


def parameters():
    return [torch.nn.Parameter(torch.ones(3))]


def rates(built, optimizer, steps):
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built["scheduler"].step()
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_built_and_steps(name):
    weights = parameters()
    optimizer = build_optimizer(name, {"lr": 0.01})(weights)
    assert type(optimizer).__name__ == OPTIMIZERS[name].class_name
    assert optimizer.param_groups[0]["lr"] == 0.01
    (weights[0] ** 2).sum().backward()
    optimizer.step()
    assert (weights[0] < 1).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_signature_is_torchs_own(name):
    actual = list(inspect.signature(getattr(torch.optim, OPTIMIZERS[name].class_name).__init__).parameters)[2:]
    assert list(optimizer_signature(name).names) == actual


def test_lists_of_yaml_become_tuples():
    optimizer = build_optimizer("adam", {"betas": [0.5, 0.9]})(parameters())
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.9)


def test_parameter_groups():
    groups = [{"params": parameters(), "lr": 1.0}, {"params": parameters()}]
    optimizer = build_optimizer("sgd", {"lr": 0.1, "momentum": 0.9})(groups)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.1]


def test_defaults_written_out_in_full_change_nothing():
    full = {p.name: p.default for p in optimizer_signature("adamw").parameters}
    built, default = build_optimizer("adamw", full)(parameters()), build_optimizer("adamw", {})(parameters())
    assert built.defaults == default.defaults


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 1}, "'adam' has no setting 'learning_rate'"),
        ({"weight_decy": 1}, "did you mean weight_decay"),
        ({"lr": "fast"}, "'lr' of 'adam' must be a number, not 'fast'"),
        ({"params": []}, "no setting 'params'"),
    ],
)
def test_wrong_optimizer_settings(arguments, message):
    assert message in check_optimizer("adam", arguments)[0]
    with pytest.raises(ConfigError, match=message):
        build_optimizer("adam", arguments)


def test_a_value_that_torch_refuses():
    with pytest.raises(ConfigError, match=r"optimizer 'adam': Invalid learning rate: -1"):
        build_optimizer("adam", {"lr": -1})(parameters())


def test_unknown_names():
    with pytest.raises(ComponentError, match="no optimizer is called 'AdmW'") as caught:
        find_optimizer("AdmW")
    assert "'adamw'" in caught.value.hint
    with pytest.raises(ComponentError, match=r"no scheduler is called 'os\.system'") as caught:
        build_scheduler("os.system", {})
    assert "cosine" in caught.value.hint


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_schedule_is_built_as_lightning_wants_it(name):
    optimizer = build_optimizer("sgd", {"lr": 0.1})(parameters())
    built = build_scheduler(name, NEEDED.get(name, {}))(optimizer, TRAINER)
    assert type(built["scheduler"]).__name__ == SCHEDULERS[name].class_name
    assert built["interval"] in ("epoch", "step")
    assert built["frequency"] == 1
    assert ("monitor" in built) == (name == "plateau")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_defaults_of_a_schedule_written_out_in_full_are_accepted(name):
    full = {p.name: p.default for p in scheduler_signature(name).parameters if not p.required} | NEEDED.get(name, {})
    assert check_scheduler(name, full) == []
    optimizers = [build_optimizer("sgd", {"lr": 0.1})(parameters()) for _ in range(2)]
    built = build_scheduler(name, full)(optimizers[0], TRAINER)
    short = build_scheduler(name, NEEDED.get(name, {}))(optimizers[1], TRAINER)
    assert built["interval"] == short["interval"]
    if name != "plateau":
        assert rates(built, optimizers[0], 6) == rates(short, optimizers[1], 6)


@pytest.mark.parametrize("name", ["cosine", "polynomial", "one-cycle"])
def test_length_comes_from_the_trainer(name):
    optimizer = build_optimizer("sgd", {"lr": 0.1, "momentum": 0.9})(parameters())
    built = build_scheduler(name, {})(optimizer, TRAINER)
    assert built["interval"] == "step"
    found = rates(built, optimizer, 40)
    assert max(found) == pytest.approx(0.1)
    assert optimizer.param_groups[0]["lr"] < 1e-3
    assert found[20] > 0.01


def test_length_in_epochs():
    for arguments, trainer in (({"interval": "epoch"}, TRAINER), ({"T_max": 10}, None)):
        optimizer = build_optimizer("sgd", {"lr": 0.1})(parameters())
        built = build_scheduler("cosine", arguments)(optimizer, trainer)
        assert built["interval"] == "epoch"
        assert rates(built, optimizer, 10)[5] == pytest.approx(0.05)


def test_length_given_to_the_builder():
    optimizer = build_optimizer("sgd", {"lr": 0.1})(parameters())
    assert build_scheduler("cosine", {}, total_steps=7)(optimizer)["scheduler"].T_max == 7
    built = build_scheduler("cosine", {"interval": "epoch"}, max_epochs=3)(optimizer)
    assert built["scheduler"].T_max == 3


@pytest.mark.parametrize("trainer", [None, SimpleNamespace(estimated_stepping_batches=float("inf"), max_epochs=-1)])
def test_unknown_length(trainer):
    optimizer = build_optimizer("sgd", {"lr": 0.1})(parameters())
    with pytest.raises(ConfigError, match="how long the training is") as caught:
        build_scheduler("cosine", {})(optimizer, trainer)
    assert "scheduler.T_max" in caught.value.hint


def test_plateau_watches_what_it_is_told():
    optimizer = build_optimizer("sgd", {"lr": 0.1})(parameters())
    assert build_scheduler("plateau", {})(optimizer)["monitor"] == "val_loss"
    built = build_scheduler("plateau", {"monitor": "val_ap", "mode": "max", "patience": 0})(optimizer)
    assert built["monitor"] == "val_ap"
    for value in (0.5, 0.4):
        built["scheduler"].step(value)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("step", {}, "needs a value for 'step_size'"),
        ("cosine", {"interval": "hour"}, "'interval' of 'cosine' must be 'epoch' or 'step', not 'hour'"),
        ("one-cycle", {"epochs": 3}, "needs both 'epochs' and 'steps_per_epoch'"),
        ("cosine", {"monitor": "x"}, "no setting 'monitor'"),
        ("linear", {"last_epoch": 3}, "no setting 'last_epoch'"),
    ],
)
def test_wrong_schedule_settings(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_scheduler(name, arguments)
