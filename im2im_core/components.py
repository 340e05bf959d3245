"""What a plug-in declares: one frozen dataclass per kind of component. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

TASKS = ("restoration", "translation", "semantic-segmentation", "instance-segmentation", "regression", "generation")
Task = Literal[
    "restoration", "translation", "semantic-segmentation", "instance-segmentation", "regression", "generation"
]


class ComponentConfig(BaseModel):
    """Settings of a component. Unknown settings are errors; values cannot change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """Anything that a user chooses by name.

    Attributes:
        name: what the user types: lower case, words joined by '-', unique within its kind.
        summary: one line for `im2im list`.
        config: the settings, a pydantic model; importing it must load no torch.
        factory: builds the component: `factory(config, **what_the_core_passes)`; heavy imports belong inside it.
    """

    kind: ClassVar[str]
    name: str
    summary: str
    config: type[ComponentConfig] = ComponentConfig
    factory: Callable[..., Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader(Component):
    """`factory(config) -> ReadImage`. Among readers of one suffix the highest priority is tried first."""

    kind: ClassVar[str] = "reader"
    suffixes: tuple[str, ...]
    priority: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer(Component):
    """`factory(config) -> ImageWriter`. Among writers of one suffix the highest priority is taken."""

    kind: ClassVar[str] = "writer"
    suffixes: tuple[str, ...]
    priority: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset(Component):
    """`factory(config, *, load, preprocessing, augmentation, spatial_dims, seed, ...) -> LightningDataModule`.

    The factory may also name `cache_dir`, a folder of the run, `fingerprint`, a text that changes with the settings of
    reader and preprocessing, and `task`, what the model is trained for.

    Attributes:
        tasks: tasks it can serve; empty means all.
        inspect: `inspect(config, load) -> DataFacts`: what the data are, found without loading torch.
        survey: `survey(config, load, *, images) -> DataSurvey`: what the pixels of targets, and on request of images,
            are; asked for only when settings are planned.
    """

    kind: ClassVar[str] = "dataset"
    tasks: tuple[Task, ...] = ()
    inspect: Callable[..., Any]
    survey: Callable[..., Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform(Component):
    """`factory(config, *, spatial_dims) -> callable` from one sample dict to the next.

    As a step of preprocessing, a callable may have `fit(image) -> callable`, which takes its statistics from the whole
    image, and `context`, how many pixels around a region it looks at (64 where it does not say).

    Attributes:
        random: for augmentation only.
        keeps_size: results have as many pixels as images; what does not is for augmentation only.
    """

    kind: ClassVar[str] = "transform"
    random: bool = False
    keeps_size: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Network(Component):
    """`factory(config, *, spatial_dims, in_channels, out_channels) -> nn.Module`.

    The factory may also name `model`, the settings of the model that it is built for.

    Attributes:
        spatial_dims: 2, 3 or both.
        plan: as of a `Model`; it may name another network, with all settings.
    """

    kind: ClassVar[str] = "network"
    spatial_dims: tuple[int, ...] = (2, 3)
    plan: Callable[..., Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Discriminator(Component):
    """`factory(config, *, spatial_dims, in_channels) -> nn.Module` that judges whether an image is real.

    Its forward maps (B, C, [Z,] Y, X) to a list with one entry per scale; each is the list of the features of its
    layers, of which the last are the logits, high for real, one channel, at any spatial size.
    """

    kind: ClassVar[str] = "discriminator"
    spatial_dims: tuple[int, ...] = (2, 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Model(Component):
    """`factory(config, *, network, loss, optimizer, scheduler, spatial_dims, in_channels, target_channels)`.

    A model that has many plausible results for an image has a method `sampler(generator)`, which draws once and gives a
    forward pass with that draw. One that steps its optimizers itself (`automatic_optimization` is False) may have
    a method `configure_steps(*, accumulate_grad_batches, gradient_clip_val, gradient_clip_algorithm)`, which is told
    these settings of the trainer.

    One whose output channels have directions, as offsets have, has a method `undo(prediction, *, turns, flip)`: of a
    prediction (B, K, [Z,] Y, X) of an image that was mirrored along X (`flip`) and then turned by so many quarters
    (`torch.rot90` from Y to X), with its pixels back in place, it turns the directions back. With it, several
    predictions of an image that lead to objects have a mean, from which post-processing makes labels.

    Attributes:
        task: what it is trained for, unless its settings have a `task` that says otherwise.
        spatial_dims: 2, 3 or both.
        defaults: a partial run configuration that lies above the defaults of the core and below everything else.
        task_defaults: as `defaults` and above them, for each `task` that the settings may name.
        target_channels: numbers of target channels it accepts; empty means any.
        adversarial: it is trained against a discriminator: its factory is also given `discriminator(in_channels)`,
            which builds one (None for prediction), and keeps what that builds in an attribute `discriminator`, which is
            no part of a bundle. Its loss compares images, also where they are masks.
        plan: `plan(run, facts, survey) -> partial run configuration` for what the user left open, found in the data.
            `run` is the RunConfig, `facts` the DataFacts, and `survey()` reads the pixels. Loads no torch.
    """

    kind: ClassVar[str] = "model"
    task: Task
    spatial_dims: tuple[int, ...] = (2, 3)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    task_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target_channels: tuple[int, ...] = ()
    adversarial: bool = False
    plan: Callable[..., Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss(Component):
    """`factory(config, *, spatial_dims) -> nn.Module` mapping (prediction, target, costmap=None) to a scalar.

    The factory may also name `model`, the settings of the model that is trained.

    A module with a method `set_epoch(epoch)` is told the number of each epoch before it begins.

    Attributes:
        tasks: tasks it can serve; empty means all.
        composite: its setting `parts` is a list of losses, each with settings of its own; the factory is given them,
            built, as `parts`. `config.part_settings` names what of each item belongs to the composite itself.
    """

    kind: ClassVar[str] = "loss"
    tasks: tuple[Task, ...] = ()
    composite: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Trainer(Component):
    """`factory(config) -> ModelTrainer`."""

    kind: ClassVar[str] = "trainer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Postprocessor(Component):
    """`factory(config, *, spatial_dims) -> callable` from a prediction array (K, [Z], Y, X) to a result array.

    The factory may also name `pixel_size` (micrometre per axis letter, of the image at hand; empty when unknown) and
    `model`, the settings of the model whose prediction it is.

    A callable that finds objects may have a method `objects(prediction) -> (labels, scores)`, with a score for each
    label from 1 on, which goes into the table of objects.

    Attributes:
        tasks: tasks it can serve; empty means all.
        halo: pixels of context that a block needs around itself, from the settings; None: it needs the whole image.
        merges: how results of neighbouring blocks are joined: "crop" (no objects), or "labels" (objects are matched).
        tune: `tune(config) -> list of settings to try`, each a mapping, on the validation images when a training is
            over; the best go into the bundle. None: nothing is tried.
    """

    kind: ClassVar[str] = "postprocessor"
    tasks: tuple[Task, ...] = ()
    halo: Callable[[Any], int | None] = field(default=lambda config: 0)
    merges: Literal["crop", "labels"] = "crop"
    tune: Callable[[Any], Sequence[Mapping[str, Any]]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric(Component):
    """`factory(config) -> callable` mapping arrays (prediction, target) to named figures.

    Attributes:
        tasks: tasks it can serve; empty means all.
        of_sets: the callable takes all predictions and all targets, two iterables of arrays (C, [Z,] Y, X) of any
            number and size, and not one pair after the other; for `im2im evaluate` only.
        higher_is_better: which way is good.
        primary: the figure that ranks cases and epochs when the metric yields several.
    """

    kind: ClassVar[str] = "metric"
    tasks: tuple[Task, ...] = ()
    of_sets: bool = False
    higher_is_better: bool = True
    primary: str = ""


def _not_built(*args: Any, **kwargs: Any) -> None:
    """A preset is a piece of configuration: there is nothing to build."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset(Component):
    """A named partial run configuration for one kind of data."""

    kind: ClassVar[str] = "preset"
    task: Task
    settings: Mapping[str, Any]
    factory: Callable[..., Any] = _not_built


KINDS: Mapping[str, type[Component]] = {
    kind.kind: kind
    for kind in (
        Reader, Writer, Dataset, Transform, Network, Discriminator, Model, Loss, Trainer, Postprocessor, Metric,
        Preset,
    )
}  # fmt: skip
