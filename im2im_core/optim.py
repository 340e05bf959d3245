"""Optimizers and learning-rate schedules of torch that a configuration may name, and the check of their settings.

Loads no torch: `im2im_core.builtin.optim` builds what is described here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from im2im_core.arguments import Parameter, Signature, check_arguments
from im2im_core.errors import ComponentError
from im2im_core.signatures import torch_class

SCHEDULER_FILE = "optim/lr_scheduler.py"


@dataclass(frozen=True, slots=True)
class TorchOptimizer:
    """One optimizer of torch.optim.

    Attributes:
        file: its source file in the torch package.
        class_name: its class in torch.optim.
        summary: one line.
    """

    file: str
    class_name: str
    summary: str


@dataclass(frozen=True, slots=True)
class TorchScheduler:
    """One schedule of torch.optim.lr_scheduler.

    Attributes:
        class_name: its class.
        summary: one line.
        length: parameter that holds the schedule's length; without a value the training's own length is taken.
        by_step: without a given length it advances with every optimizer step, not with every epoch.
    """

    class_name: str
    summary: str
    length: str = ""
    by_step: bool = False


OPTIMIZERS: Mapping[str, TorchOptimizer] = {
    "adamw": TorchOptimizer("optim/adamw.py", "AdamW", "Adam with decoupled weight decay"),
    "adam": TorchOptimizer("optim/adam.py", "Adam", "adaptive moments"),
    "sgd": TorchOptimizer("optim/sgd.py", "SGD", "gradient descent, with momentum if asked; needs a learning rate"),
    "nadam": TorchOptimizer("optim/nadam.py", "NAdam", "Adam with Nesterov momentum"),
    "radam": TorchOptimizer("optim/radam.py", "RAdam", "Adam with rectified variance in the first steps"),
    "adamax": TorchOptimizer("optim/adamax.py", "Adamax", "Adam with the infinity norm"),
    "rmsprop": TorchOptimizer("optim/rmsprop.py", "RMSprop", "gradients divided by their running magnitude"),
    "adagrad": TorchOptimizer("optim/adagrad.py", "Adagrad", "rates that shrink with the sum of squared gradients"),
    "adadelta": TorchOptimizer("optim/adadelta.py", "Adadelta", "Adagrad over a window of past gradients"),
    "asgd": TorchOptimizer("optim/asgd.py", "ASGD", "averaged gradient descent"),
    "rprop": TorchOptimizer("optim/rprop.py", "Rprop", "signs of gradients only; for full batches"),
}

SCHEDULERS: Mapping[str, TorchScheduler] = {
    "cosine": TorchScheduler("CosineAnnealingLR", "falls along half a cosine over the training", "T_max", True),
    "one-cycle": TorchScheduler("OneCycleLR", "rises, then falls, once over the training", "total_steps", True),
    "polynomial": TorchScheduler("PolynomialLR", "falls as a power of the remaining time", "total_iters", True),
    "linear": TorchScheduler("LinearLR", "changes linearly between two factors over the first epochs"),
    "constant": TorchScheduler("ConstantLR", "a reduced rate for the first epochs"),
    "step": TorchScheduler("StepLR", "multiplied by gamma every step_size epochs"),
    "multi-step": TorchScheduler("MultiStepLR", "multiplied by gamma at each milestone epoch"),
    "exponential": TorchScheduler("ExponentialLR", "multiplied by gamma every epoch"),
    "plateau": TorchScheduler("ReduceLROnPlateau", "multiplied by factor when a validation figure stalls"),
    "cosine-restarts": TorchScheduler("CosineAnnealingWarmRestarts", "a cosine that starts anew every T_0 epochs"),
}
INTERVAL = Parameter("interval", False, None, "str | None")
MONITOR = Parameter("monitor", False, "val_loss", "str")


def find_optimizer(name: str) -> TorchOptimizer:
    """The optimizer of that name.

    Raises:
        ComponentError: it is not among those on offer.
    """
    if name not in OPTIMIZERS:
        raise _unknown("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]


def find_scheduler(name: str) -> TorchScheduler:
    """The schedule of that name.

    Raises:
        ComponentError: it is not among those on offer.
    """
    if name not in SCHEDULERS:
        raise _unknown("scheduler", name, SCHEDULERS)
    return SCHEDULERS[name]


def optimizer_signature(name: str) -> Signature:
    """Settings of an optimizer: torch's constructor without `params`."""
    found = find_optimizer(name)
    return replace(torch_class(found.file, found.class_name).without("params"), summary=found.summary)


def scheduler_signature(name: str) -> Signature:
    """Settings of a schedule: torch's constructor without `optimizer`.

    The length is optional where the training gives it, as is the highest rate of one-cycle, which is then the
    optimizer's. `interval` ("epoch" or "step") and, for plateau, `monitor` are settings of im2im.
    """
    found = find_scheduler(name)
    signature = torch_class(SCHEDULER_FILE, found.class_name).without("optimizer", "last_epoch")
    automatic = {found.length, "max_lr"}
    parameters = [
        replace(parameter, required=False, default=None) if parameter.name in automatic else parameter
        for parameter in signature.parameters
    ]
    parameters += [INTERVAL, MONITOR] if name == "plateau" else [INTERVAL]
    return replace(signature, parameters=tuple(parameters), summary=found.summary)


def check_optimizer(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with an optimizer's settings, one sentence each."""
    return check_arguments(name, optimizer_signature(name), arguments)


def check_scheduler(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with a schedule's settings, one sentence each."""
    problems = check_arguments(name, scheduler_signature(name), arguments)
    interval = arguments.get("interval")
    if interval not in (None, "epoch", "step"):
        problems.append(f"'interval' of '{name}' must be 'epoch' or 'step', not '{interval}'")
    if name == "one-cycle" and ("epochs" in arguments) != ("steps_per_epoch" in arguments):
        problems.append(f"'{name}' needs both 'epochs' and 'steps_per_epoch', or neither")
    return problems


def _unknown(kind: str, name: str, table: Mapping[str, Any]) -> ComponentError:
    near = get_close_matches(name.lower(), table, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(table)}"
    return ComponentError(f"no {kind} is called '{name}'", hint)
