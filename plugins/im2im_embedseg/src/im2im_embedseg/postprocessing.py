"""Clustering as a post-processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from im2im_core import DataError
from im2im_embedseg.clustering import cluster
from im2im_embedseg.config import ClusteringConfig


class Clustering:
    """From a prediction (C, [Z], Y, X) to labels ([Z], Y, X), 0 = background."""

    def __init__(
        self,
        config: ClusteringConfig,
        *,
        spatial_dims: int,
        n_sigma: int,
        grid: tuple[int, ...],
        pixel: tuple[float, ...],
    ) -> None:
        self.settings: dict[str, Any] = config.model_dump(exclude_none=True)
        self.geometry: dict[str, Any] = {"n_sigma": n_sigma, "grid": grid, "pixel": pixel}

    def __call__(self, prediction: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Labels of one image."""
        try:
            return cluster(prediction, **self.geometry, **self.settings)
        except ValueError as error:
            raise DataError(str(error), "train the model that made it with a lower learning rate") from error
