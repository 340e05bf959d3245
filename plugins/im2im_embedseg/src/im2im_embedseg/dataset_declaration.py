"""The data set of this plug-in. Nothing heavy is loaded before it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from im2im_core import DataFacts, Dataset, DataSurvey, Sample
from im2im_embedseg.dataset_config import InstancesConfig

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule


def _inspect(config: InstancesConfig, load: Any, *, incomplete: bool = False) -> DataFacts:
    from im2im_core.data.pairs import inspect_paired
    from im2im_embedseg.crop_index import cached_crops

    index = cached_crops(config)
    return index.facts if index else inspect_paired(config, load, incomplete=incomplete)


def _survey(config: InstancesConfig, load: Any, *, images: bool = False, incomplete: bool = False) -> DataSurvey:
    from im2im_core.data.survey import survey_paired
    from im2im_embedseg.crop_index import cached_crops

    index = cached_crops(config)
    return index.survey() if index else survey_paired(config, load, images=images, incomplete=incomplete)


def _instances(
    config: InstancesConfig,
    *,
    load: Any,
    preprocessing: Callable[[Sample], Sample],
    augmentation: Callable[[Sample], Sample],
    spatial_dims: int,
    seed: int,
    cache_dir: Any = None,
    fingerprint: str = "",
) -> LightningDataModule:
    from im2im_embedseg.instance_data import InstancesDataModule

    return InstancesDataModule(
        config,
        load=load,
        preprocessing=preprocessing,
        augmentation=augmentation,
        spatial_dims=spatial_dims,
        seed=seed,
        cache_dir=cache_dir,
        fingerprint=fingerprint,
    )


INSTANCES = Dataset(
    name="instances",
    summary="label images by object: patches around objects on the fly, or one cached crop for each object",
    config=InstancesConfig,
    factory=_instances,
    tasks=("instance-segmentation",),
    inspect=_inspect,
    survey=_survey,
)
