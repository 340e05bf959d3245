"""Clustering as a post-processor."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

from im2im_core import DataError
from im2im_embedseg.clustering import cluster_objects
from im2im_embedseg.config import ClusteringConfig

Array: TypeAlias = NDArray[Any]


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
        self.settings: dict[str, Any] = config.model_dump(exclude={"tune", "halo"}, exclude_none=True)
        self.geometry: dict[str, Any] = {"n_sigma": n_sigma, "grid": grid, "pixel": pixel}

    def __call__(self, prediction: Array) -> Array:
        """Labels of one image."""
        return self.objects(prediction)[0]

    def objects(self, prediction: Array) -> tuple[Array, Array]:
        """Labels of one image, and of each object the seed value of the pixel that founded it, 0 to 1.

        Raises:
            DataError: NaN in the prediction.
        """
        try:
            return cluster_objects(prediction, **self.geometry, **self.settings)
        except ValueError as error:
            raise DataError(str(error), "train the model that made it with a lower learning rate") from error
