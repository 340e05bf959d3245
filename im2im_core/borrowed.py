"""Components of libraries under their own names: MONAI's dictionary transforms, torch's optimizers and schedules.

Their settings are read from the libraries' source, so that nothing heavy is imported before it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, create_model, model_validator

from im2im_core.arguments import Signature, check_arguments
from im2im_core.components import Component, ComponentConfig, Transform
from im2im_core.errors import ComponentError
from im2im_core.optim import (
    OPTIMIZERS,
    SCHEDULERS,
    check_optimizer,
    check_scheduler,
    optimizer_signature,
    scheduler_signature,
)
from im2im_core.signatures import monai_transforms

BORROWED = "library"
Check = Callable[[str, Mapping[str, Any]], list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimizer(Component):
    """An optimizer of torch.optim."""

    kind: ClassVar[str] = "optimizer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduler(Component):
    """A learning rate schedule of torch.optim.lr_scheduler."""

    kind: ClassVar[str] = "scheduler"


class BorrowedConfig(ComponentConfig):
    """Settings that are checked against a library's own signature."""

    check: ClassVar[Check]
    component_name: ClassVar[str]

    @model_validator(mode="after")
    def _fits(self) -> BorrowedConfig:
        problems = type(self).check(self.component_name, self.given())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def given(self) -> dict[str, Any]:
        """Only what was set: the library keeps its own defaults."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def borrowed_component(kind: str, name: str) -> Component | None:
    """The component of that name, or None where plug-ins are responsible.

    Raises:
        ComponentError: unknown optimizer or scheduler.
    """
    if kind == "optimizer":
        return _optimizer(name)
    if kind == "scheduler":
        return _scheduler(name)
    # MONAI's names are in capitals, those of plug-ins never are.
    if kind == "transform" and name[:1].isupper():
        return _transform(name)
    return None


def borrowed_names(kind: str) -> dict[str, str]:
    """Name to summary of what can be borrowed."""
    if kind == "optimizer":
        return {name: entry.summary for name, entry in OPTIMIZERS.items()}
    if kind == "scheduler":
        return {name: entry.summary for name, entry in SCHEDULERS.items()}
    if kind == "transform":
        return {name: "" for name in monai_transforms() if name.endswith("d")}
    return {}


@lru_cache
def _optimizer(name: str) -> Component:
    signature = optimizer_signature(name)

    def factory(config: BorrowedConfig) -> Any:
        from im2im_core.builtin.optim import build_optimizer

        return build_optimizer(name, config.given())

    return Optimizer(
        name=name, summary=signature.summary, config=_config(name, signature, check_optimizer), factory=factory
    )


@lru_cache
def _scheduler(name: str) -> Component:
    signature = scheduler_signature(name)

    def factory(config: BorrowedConfig) -> Any:
        from im2im_core.builtin.optim import build_scheduler

        return build_scheduler(name, config.given())

    return Scheduler(
        name=name, summary=signature.summary, config=_config(name, signature, check_scheduler), factory=factory
    )


@lru_cache
def _transform(name: str) -> Component:
    table = monai_transforms()
    if name not in table:
        from difflib import get_close_matches

        near = get_close_matches(name, list(table), n=3)
        raise ComponentError(
            f"unknown transform '{name}'",
            f"did you mean {' or '.join(near)}?" if near else "im2im list transforms shows what can be used",
        )
    signature = table[name]

    def check(name: str, arguments: Mapping[str, Any]) -> list[str]:
        return check_arguments(name, signature, arguments)

    def factory(config: BorrowedConfig) -> Any:
        from im2im_core.builtin.transforms import monai_transform

        return monai_transform(name, config.given())

    return Transform(
        name=name,
        summary=signature.summary,
        config=_config(name, signature, check),
        factory=factory,
        random=table.canonical(name).startswith("Rand"),
    )


def _config(name: str, signature: Signature, check: Check) -> type[BorrowedConfig]:
    fields: dict[str, Any] = {}
    for parameter in signature.parameters:
        description = parameter.annotation or "see the library's documentation"
        default = ... if parameter.required else parameter.default
        fields[parameter.name] = (Any, Field(default, description=description))
    config = create_model(f"{name}Config", __base__=BorrowedConfig, **fields)
    config.check = check
    config.component_name = name
    return config
