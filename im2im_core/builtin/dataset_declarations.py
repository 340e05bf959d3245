"""The data sets that ship with the core. Nothing heavy is loaded before one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from im2im_core.builtin.dataset_config import PairedConfig, UnpairedConfig
from im2im_core.components import Dataset, Task
from im2im_core.interfaces import DataFacts, DataSurvey, ReadImage, Sample

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule

# Numbers belong to an image, and objects are told apart by their pixels: both need pairs.
UNPAIRED: tuple[Task, ...] = ("translation", "generation", "restoration", "semantic-segmentation")


def _inspect(config: PairedConfig, load: ReadImage, *, incomplete: bool = False) -> DataFacts:
    from im2im_core.data.pairs import inspect_paired

    return inspect_paired(config, load, incomplete=incomplete)


def _survey(config: PairedConfig, load: ReadImage, *, images: bool = False, incomplete: bool = False) -> DataSurvey:
    from im2im_core.data.survey import survey_paired

    return survey_paired(config, load, images=images, incomplete=incomplete)


# The parameters are spelt out: the core hands a factory those of its arguments that the signature names.
def _paired(
    config: PairedConfig,
    *,
    load: ReadImage,
    preprocessing: Callable[[Sample], Sample],
    augmentation: Callable[[Sample], Sample],
    spatial_dims: int,
    seed: int,
    cache_dir: Any = None,
    fingerprint: str = "",
    task: str | None = None,
) -> LightningDataModule:
    from im2im_core.builtin.dataset import PairedDataModule

    return PairedDataModule(
        config,
        load=load,
        preprocessing=preprocessing,
        augmentation=augmentation,
        spatial_dims=spatial_dims,
        seed=seed,
        cache_dir=cache_dir,
        fingerprint=fingerprint,
        task=task,
    )


def _inspect_unpaired(config: UnpairedConfig, load: ReadImage) -> DataFacts:
    from im2im_core.builtin.sides import inspect_unpaired

    return inspect_unpaired(config, load)


def _survey_unpaired(config: UnpairedConfig, load: ReadImage, *, images: bool = False) -> DataSurvey:
    from im2im_core.builtin.sides import survey_unpaired

    return survey_unpaired(config, load, images=images)


def _unpaired(
    config: UnpairedConfig,
    *,
    load: ReadImage,
    preprocessing: Callable[[Sample], Sample],
    augmentation: Callable[[Sample], Sample],
    spatial_dims: int,
    seed: int,
    cache_dir: Any = None,
    fingerprint: str = "",
) -> LightningDataModule:
    from im2im_core.builtin.unpaired import UnpairedDataModule

    return UnpairedDataModule(
        config,
        load=load,
        preprocessing=preprocessing,
        augmentation=augmentation,
        spatial_dims=spatial_dims,
        seed=seed,
        cache_dir=cache_dir,
        fingerprint=fingerprint,
    )


DATASETS: tuple[Dataset, ...] = (
    Dataset(
        name="paired",
        summary="pairs of image and target in folders or a CSV, with cost maps where there are any",
        config=PairedConfig,
        factory=_paired,
        inspect=_inspect,
        survey=_survey,
    ),
    Dataset(
        name="unpaired",
        summary="images and targets that are no pairs, from two folders or a CSV, meeting at random in each epoch",
        config=UnpairedConfig,
        factory=_unpaired,
        tasks=UNPAIRED,
        inspect=_inspect_unpaired,
        survey=_survey_unpaired,
    ),
)
