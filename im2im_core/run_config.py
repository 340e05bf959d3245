"""What a run is: a component with settings for each section. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from im2im_core.borrowed import BORROWED
from im2im_core.components import ComponentConfig
from im2im_core.layers import dump_yaml

SINGLE: Mapping[str, str] = {
    "reader": "reader",
    "dataset": "dataset",
    "network": "network",
    "discriminator": "discriminator",
    "model": "model",
    "loss": "loss",
    "optimizer": "optimizer",
    "scheduler": "scheduler",
    "trainer": "trainer",
}
LISTS: Mapping[str, str] = {
    "preprocessing": "transform",
    "augmentation": "transform",
    "postprocessing": "postprocessor",
    "metrics": "metric",
}

_ORDER = (
    "model", "network", "discriminator", "loss", "dataset", "reader", *LISTS, "optimizer", "scheduler", "trainer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """A component and its validated settings.

    Attributes:
        name: what identifies it among the installed plug-ins: its name, or 'plug-in/name' where that is ambiguous.
        plugin: who supplies it.
        component: its declaration.
        config: its settings.
        parts: the losses that a sum of losses is made of.
    """

    name: str
    plugin: str
    component: Any
    config: ComponentConfig
    parts: tuple[Choice, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Name and all settings as plain JSON types."""
        settings = self.config.model_dump(mode="json", exclude_unset=self.plugin == BORROWED)
        if self.parts:
            own = [{key: value for key, value in part.items() if key != "name"} for part in settings["parts"]]
            inner = [part.settings() for part in self.parts]
            settings["parts"] = [{"name": i["name"], **o, **i} for o, i in zip(own, inner, strict=True)]
        return {"name": self.name, **settings}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that decides a run. Made by `resolve`; written to `config.yaml` and read back by `--config`.

    `given` names what the user has set ("dataset.patch_size"), which no planning changes.
    """

    seed: int
    model: Choice
    network: Choice
    loss: Choice
    dataset: Choice
    optimizer: Choice
    trainer: Choice
    discriminator: Choice | None = None
    reader: Choice | None = None
    scheduler: Choice | None = None
    preprocessing: tuple[Choice, ...] = ()
    augmentation: tuple[Choice, ...] = ()
    postprocessing: tuple[Choice, ...] = ()
    metrics: tuple[Choice, ...] = ()
    given: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def task(self) -> str:
        """What the model is trained for."""
        return task_of(self.model)

    @property
    def changes_target(self) -> bool:
        """Preprocessing works on the target too, so that predictions are not in the units of the target files."""
        return any("target" in (getattr(step.config, "keys", None) or ()) for step in self.preprocessing)

    def patch_size(self, spatial_dims: int) -> tuple[int, ...] | None:
        """Pixels of a training patch, [Z], Y, X; None: whole images, or a data set that has no such setting."""
        size = getattr(self.dataset.config, "patch_size", None)
        return (size,) * spatial_dims if isinstance(size, int) else tuple(size) if size else None

    def to_dict(self) -> dict[str, Any]:
        """Sections in the order in which a person thinks of them, as plain JSON types."""
        result: dict[str, Any] = {"seed": self.seed}
        for section in _ORDER:
            value = getattr(self, section)
            if section in LISTS:
                result[section] = [choice.settings() for choice in value]
            elif section != "discriminator" or value is not None:
                # Nothing is written as null: the model's own defaults may hold a scheduler that was turned off.
                result[section] = value.settings() if value is not None else None
        return result

    def to_yaml(self) -> str:
        """The resolved configuration, accepted by `--config`."""
        return dump_yaml(self.to_dict())

    def choices(self) -> Iterable[tuple[str, Choice]]:
        """All components in use with the path of their section."""
        for section in SINGLE:
            choice = getattr(self, section)
            if choice is not None:
                yield section, choice
                yield from _parts(section, choice)
        for section in LISTS:
            for index, choice in enumerate(getattr(self, section)):
                yield f"{section}.{index}", choice


def _parts(path: str, choice: Choice) -> Iterator[tuple[str, Choice]]:
    for index, part in enumerate(choice.parts):
        yield f"{path}.parts.{index}", part
        yield from _parts(f"{path}.parts.{index}", part)


def task_of(model: Choice) -> str:
    """What a model is trained for: its setting `task`, or what its declaration says."""
    task: str = getattr(model.config, "task", None) or model.component.task
    return task
