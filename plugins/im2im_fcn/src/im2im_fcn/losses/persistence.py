"""Persistence diagrams of images, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from im2im_core import ConfigError


def load_gudhi() -> Any:
    """The library that finds persistent features.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import gudhi  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise ConfigError("this loss needs the library 'gudhi'", 'pip install "im2im-fcn[topology]"') from error
    return gudhi


def persistence_diagrams(image: Tensor, dimensions: tuple[int, ...]) -> list[Tensor]:
    """Birth and death of bright features of one image ([Z,] Y, X), a tensor (n, 2) for each dimension.

    Pixels are the top-dimensional cells of a cubical complex, entered from bright to dark. Dimension 0 holds
    components, 1 holes, 2 cavities. The component that never dies is ended by the darkest pixel, so that an image with
    one object differs from an empty one. Gradients go to the pixels where a feature is born and dies. A published tool
    hands over a flat image with its axes in the wrong order, so that rows of images that are not square are torn apart.
    """
    values = -image.detach().cpu().numpy().astype(np.float64)
    # The array itself, not a flat one: GUDHI would take that to have its first axis fastest.
    complex_ = load_gudhi().CubicalComplex(top_dimensional_cells=values)
    complex_.compute_persistence()
    regular, endless = complex_.cofaces_of_persistence_pairs()
    cells = [_cells(regular, dimension).reshape(-1, 2) for dimension in dimensions]
    if 0 in dimensions:
        darkest = np.ravel_multi_index(np.unravel_index(values.argmax(), values.shape), values.shape, order="F")
        last = [(birth, darkest) for birth in _cells(endless, 0)]
        place = dimensions.index(0)
        cells[place] = np.concatenate([cells[place], np.array(last, np.int64).reshape(-1, 2)])
    return [_read(image, pairs) for pairs in cells]


def _cells(by_dimension: list[Any], dimension: int) -> NDArray[np.int64]:
    found = by_dimension[dimension] if dimension < len(by_dimension) else ()
    return np.asarray(found, np.int64)


def _read(image: Tensor, cells: NDArray[np.int64]) -> Tensor:
    # Cells are numbered with the first axis fastest.
    places = np.unravel_index(cells.reshape(-1), image.shape, order="F")
    index = tuple(torch.from_numpy(np.ascontiguousarray(axis)).to(image.device) for axis in places)
    return image[index].view(-1, 2)


def dimensions_of(requested: tuple[int, ...] | None, spatial_dims: int) -> tuple[int, ...]:
    """Dimensions of features to compare; all that images of so many axes can have unless some are asked for.

    Raises:
        ConfigError: a dimension that such images do not have.
    """
    if requested is None:
        return tuple(range(spatial_dims))
    if max(requested) >= spatial_dims:
        raise ConfigError(
            f"loss.dimensions: '{max(requested)}' in images of {spatial_dims} axes", f"give 0 to {spatial_dims - 1}"
        )
    return requested
