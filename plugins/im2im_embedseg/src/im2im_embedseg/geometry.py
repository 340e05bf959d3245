"""How the loss and the clustering learn the coordinate system that the model was set up with."""

from __future__ import annotations

from typing import Any

from im2im_core.errors import ConfigError
from im2im_embedseg.config import EmbedSegConfig


def geometry_of(model: Any, spatial_dims: int) -> dict[str, Any]:
    """Arguments of the loss and the clustering.

    Args:
        model: settings of the model that they serve.
        spatial_dims: 2 or 3.

    Raises:
        ConfigError: the model is not EmbedSeg, or its settings are for another number of axes.
    """
    if not isinstance(model, EmbedSegConfig):
        raise ConfigError("spatial embeddings are only understood by model 'embedseg'", "--model embedseg")
    grid, extent = model.grid_per_axis(spatial_dims), model.extent_per_axis(spatial_dims)
    radius = model.radius_per_axis(spatial_dims)
    for name, value in (("grid", grid), ("extent", extent), ("initial_radius", radius)):
        if len(value) != spatial_dims:
            raise ConfigError(
                f"model.{name}: {len(value)} numbers for {spatial_dims} axes",
                "give one number, or one per axis [Z], Y, X",
            )
    return {"spatial_dims": spatial_dims, "n_sigma": model.sigmas(spatial_dims), "grid": grid, "pixel": extent}
