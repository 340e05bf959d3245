"""What this plug-in brings. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from im2im_core import Dataset, Loss, Model, Network, Postprocessor, Preset, hookimpl
from im2im_embedseg.config import (
    BranchedERFNetConfig,
    ClusteringConfig,
    EmbeddingLossConfig,
    EmbedSegConfig,
    ResidualUNetConfig,
)
from im2im_embedseg.data_plan import plan_embedseg
from im2im_embedseg.dataset_declaration import INSTANCES
from im2im_embedseg.presets import (
    DEFAULTS,
    NUCLEI_2D,
    NUCLEI_3D,
    NUCLEI_3D_BRIGHTFIELD,
    NUCLEI_3D_BRIGHTFIELD_FINETUNE,
    WORMS_2D,
)
from im2im_embedseg.thresholds import thresholds

IM2IM_API = 1
_INSTANCES: Literal["instance-segmentation"] = "instance-segmentation"


def _network(config: BranchedERFNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_embedseg.erfnet import BranchedERFNet

    branches = (out_channels - config.seed_channels, config.seed_channels)
    return BranchedERFNet(spatial_dims, in_channels, [count for count in branches if count])


def _residual_unet(config: ResidualUNetConfig, *, spatial_dims: int, in_channels: int, out_channels: int) -> Any:
    from im2im_embedseg.networks import ResidualUNet

    return ResidualUNet(config, spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)


def _model(
    config: EmbedSegConfig,
    *,
    network: Any,
    loss: Any,
    optimizer: Any,
    scheduler: Any,
    spatial_dims: int,
    in_channels: int,
) -> Any:
    from im2im_embedseg.model import EmbedSeg

    return EmbedSeg(
        config,
        network=network,
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        spatial_dims=spatial_dims,
        in_channels=in_channels,
    )


def _loss(config: EmbeddingLossConfig, *, spatial_dims: int, model: Any) -> Any:
    from im2im_embedseg.geometry import geometry_of
    from im2im_embedseg.loss import SpatialEmbeddingLoss

    return SpatialEmbeddingLoss(**geometry_of(model, spatial_dims), **config.model_dump(exclude_none=True))


def _clustering(config: ClusteringConfig, *, spatial_dims: int, model: Any) -> Any:
    from im2im_embedseg.geometry import geometry_of
    from im2im_embedseg.postprocessing import Clustering

    return Clustering(config, **geometry_of(model, spatial_dims))


@hookimpl
def im2im_datasets() -> Iterable[Dataset]:
    """Label images by object."""
    yield INSTANCES


@hookimpl
def im2im_networks() -> Iterable[Network]:
    """The published network, and a light one."""
    yield Network(
        name="residual-unet",
        summary="Light residual U-Net that starts at half the size (MONAI; Kerfoot et al. 2019)",
        config=ResidualUNetConfig,
        factory=_residual_unet,
    )
    yield Network(
        name="branched-erfnet",
        summary="ERFNet encoder with one decoder for offsets and sigmas and one for the seed map (Neven et al. 2019)",
        config=BranchedERFNetConfig,
        factory=_network,
    )


@hookimpl
def im2im_models() -> Iterable[Model]:
    """EmbedSeg."""
    yield Model(
        name="embedseg",
        summary="Instance segmentation by spatial embeddings (Lalit et al. 2022)",
        config=EmbedSegConfig,
        factory=_model,
        task=_INSTANCES,
        target_channels=(1,),
        defaults=DEFAULTS,
        plan=plan_embedseg,
    )


@hookimpl
def im2im_losses() -> Iterable[Loss]:
    """The loss of EmbedSeg."""
    yield Loss(
        name="spatial-embedding",
        summary="Instance (Lovasz hinge), sigma variance and seed term (Neven et al. 2019); respects the cost map",
        config=EmbeddingLossConfig,
        factory=_loss,
        tasks=(_INSTANCES,),
    )


@hookimpl
def im2im_postprocessors() -> Iterable[Postprocessor]:
    """From embedding to labels."""
    yield Postprocessor(
        name="embedseg-clustering",
        summary="Greedy clustering of spatial embeddings into labels",
        config=ClusteringConfig,
        factory=_clustering,
        tasks=(_INSTANCES,),
        halo=lambda config: config.halo,
        merges="labels",
        tune=thresholds,
    )


@hookimpl
def im2im_presets() -> Iterable[Preset]:
    """Settings that work for a kind of data."""
    presets = {
        "nuclei-2d": ("Nuclei in 2D fluorescence, trained in a quarter of an hour on a small computer", NUCLEI_2D),
        "worms-2d": ("Long objects that bend and cross, as worms in bright field (BBBC010)", WORMS_2D),
        "nuclei-3d": ("Nuclei in fluorescence stacks, trained in a quarter of an hour on a small computer", NUCLEI_3D),
        "nuclei-3d-brightfield": ("Nuclei in bright-field stacks; wants cost maps and time", NUCLEI_3D_BRIGHTFIELD),
        "nuclei-3d-brightfield-finetune": (
            "The second stage: few careful targets, from the weights of the first (--init-from)",
            NUCLEI_3D_BRIGHTFIELD_FINETUNE,
        ),
    }
    for name, (summary, settings) in presets.items():
        yield Preset(name=name, summary=summary, task=_INSTANCES, settings=settings)
