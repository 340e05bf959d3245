"""Losses that this plug-in brings. Nothing heavy is loaded before one is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from im2im_core import Loss
from im2im_core.components import Task
from im2im_fcn.losses.config import (
    BoundaryConfig,
    GeneralizedDiceFocalConfig,
    MsSsimConfig,
    PearsonConfig,
    TverskyConfig,
)
from im2im_fcn.losses.regularizer_config import (
    ConnectivityConfig,
    FractalDimensionConfig,
    HausdorffConfig,
    PersistentHomologyConfig,
    TopologicalComplexityConfig,
    TopologicalInteractionConfig,
)

if TYPE_CHECKING:
    from torch import nn


def _generalized_dice_focal(config: GeneralizedDiceFocalConfig) -> nn.Module:
    from im2im_fcn.losses.regions import GeneralizedDiceFocalLoss

    return GeneralizedDiceFocalLoss(config)


def _tversky(config: TverskyConfig) -> nn.Module:
    from im2im_fcn.losses.regions import TverskyLoss

    return TverskyLoss(config)


def _pearson(config: PearsonConfig) -> nn.Module:
    from im2im_fcn.losses.pearson import PearsonLoss

    return PearsonLoss(config)


def _ms_ssim(config: MsSsimConfig) -> nn.Module:
    from im2im_fcn.losses.ms_ssim import MsSsimLoss

    return MsSsimLoss(config)


def _boundary(config: BoundaryConfig, *, spatial_dims: int) -> nn.Module:
    from im2im_fcn.losses.boundary import BoundaryLoss

    return BoundaryLoss(config, spatial_dims)


def _topological_interaction(config: TopologicalInteractionConfig) -> nn.Module:
    from im2im_fcn.losses.topological_interaction import TopologicalInteractionLoss

    return TopologicalInteractionLoss(config)


def _connectivity(config: ConnectivityConfig) -> nn.Module:
    from im2im_fcn.losses.connectivity import ConnectivityCoherenceLoss

    return ConnectivityCoherenceLoss(config)


def _hausdorff(config: HausdorffConfig) -> nn.Module:
    from im2im_fcn.losses.hausdorff import HausdorffLoss

    return HausdorffLoss(config)


def _fractal_dimension(config: FractalDimensionConfig) -> nn.Module:
    from im2im_fcn.losses.fractal import FractalDimensionLoss

    return FractalDimensionLoss(config)


def _persistent_homology(config: PersistentHomologyConfig, *, spatial_dims: int) -> nn.Module:
    from im2im_fcn.losses.persistent_homology import PersistentHomologyLoss

    return PersistentHomologyLoss(config, spatial_dims)


def _topological_complexity(config: TopologicalComplexityConfig, *, spatial_dims: int) -> nn.Module:
    from im2im_fcn.losses.topological_complexity import TopologicalComplexityLoss

    return TopologicalComplexityLoss(config, spatial_dims)


_CLASSES: tuple[Task, ...] = ("semantic-segmentation",)
# Structure and correlation need more than the one number of a regression.
_STRUCTURES: tuple[Task, ...] = ("restoration", "translation", "generation")

# In order of importance.
LOSSES: tuple[Loss, ...] = (
    Loss(
        name="generalized-dice-focal",
        summary="overlap of regions, rare classes counting more, plus focal loss, weighted by class and cost map",
        config=GeneralizedDiceFocalConfig,
        factory=_generalized_dice_focal,
        tasks=_CLASSES,
    ),
    Loss(
        name="tversky",
        summary="overlap of regions, misses counting more than false finds, without pixels of cost map 0",
        config=TverskyConfig,
        factory=_tversky,
        tasks=_CLASSES,
    ),
    Loss(
        name="pearson",
        summary="1 - correlation in each sample and channel, weighted by the cost map",
        config=PearsonConfig,
        factory=_pearson,
        tasks=_STRUCTURES,
    ),
    Loss(
        name="ms-ssim",
        summary="multi-scale structural similarity mixed with the absolute error, weighted by the cost map",
        config=MsSsimConfig,
        factory=_ms_ssim,
        tasks=_STRUCTURES,
    ),
    Loss(
        name="boundary",
        summary="distance of foreground from the true boundary, beside another loss, weighted by the cost map",
        config=BoundaryConfig,
        factory=_boundary,
        tasks=_CLASSES,
    ),
    Loss(
        name="topological-interaction",
        summary="regularizer: which classes may touch, without pixels of cost map 0",
        config=TopologicalInteractionConfig,
        factory=_topological_interaction,
        tasks=_CLASSES,
    ),
    Loss(
        name="connectivity-coherence",
        summary="regularizer: edges and local densities, without pixels of cost map 0",
        config=ConnectivityConfig,
        factory=_connectivity,
        tasks=_CLASSES,
    ),
    Loss(
        name="hausdorff",
        summary="regularizer: errors far from the true boundary, without pixels of cost map 0",
        config=HausdorffConfig,
        factory=_hausdorff,
        tasks=_CLASSES,
    ),
    Loss(
        name="fractal-dimension",
        summary="regularizer: box-counting dimension of the foreground, without pixels of cost map 0",
        config=FractalDimensionConfig,
        factory=_fractal_dimension,
        tasks=_CLASSES,
    ),
    Loss(
        name="persistent-homology",
        summary="regularizer: components, holes and cavities, without pixels of cost map 0; needs gudhi; slow",
        config=PersistentHomologyConfig,
        factory=_persistent_homology,
        tasks=_CLASSES,
    ),
    Loss(
        name="topological-complexity",
        summary="regularizer: number and strength of features, without pixels of cost map 0; needs gudhi; slow",
        config=TopologicalComplexityConfig,
        factory=_topological_complexity,
        tasks=_CLASSES,
    ),
)
