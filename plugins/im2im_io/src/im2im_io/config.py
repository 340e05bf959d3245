"""Settings of the readers and writers. Loads pydantic only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from im2im_core.components import ComponentConfig


def _known_axes(axes: str) -> str:
    if len(set(axes)) != len(axes) or set(axes) - set("TCZYX"):
        raise ValueError(f"'{axes}' is not a selection of 'TCZYX' in which each letter occurs once")
    return axes


Axes = Annotated[str, AfterValidator(_known_axes)]
AXES_HELP = "what the dimensions mean, one letter of TCZYX for each, slowest first; by default found by the reader"
SCENE_HELP = "which image of a file that holds several: its number from 0, or its name"


class TiffReaderConfig(ComponentConfig):
    """Settings of the `tifffile` reader."""

    scene: int | str = Field(0, description=SCENE_HELP)
    axes: Axes | None = Field(None, description=AXES_HELP)


class PictureReaderConfig(ComponentConfig):
    """Settings of the `image` reader."""

    palette: Literal["colours", "indices"] = Field(
        "colours", description="pictures with a palette: their RGB colours, or the indices (for label pictures)"
    )


class NumpyReaderConfig(ComponentConfig):
    """Settings of the `numpy` reader."""

    axes: Axes | None = Field(None, description=AXES_HELP)


class OmeZarrReaderConfig(ComponentConfig):
    """Settings of the `ome-zarr` reader."""

    level: int = Field(0, ge=0, description="resolution level; 0 is the finest")
    scene: int | str = Field(
        0, description="which image of a folder that holds several: its number from 0, or its path"
    )


class VendorReaderConfig(ComponentConfig):
    """Settings of the `aicsimageio` and `bioio` readers."""

    scene: int | str = Field(0, description=SCENE_HELP)


class OmeTiffWriterConfig(ComponentConfig):
    """Settings of the `ome-tiff` writer."""

    compression: Literal["zlib", "zstd", "lzw", "none"] = Field(
        "zlib", description="how pixels are packed; files that are written piece by piece are never packed"
    )
    tile: int = Field(512, ge=16, multiple_of=16, description="edge of a tile in pixels")
    tile_from: int = Field(2048, ge=16, description="images at least this wide or high are stored in tiles")


class OmeZarrWriterConfig(ComponentConfig):
    """Settings of the `ome-zarr` writer."""

    chunk: int = Field(512, ge=16, description="edge of a chunk along Y and X, in pixels")
    chunk_z: int = Field(1, ge=1, description="planes per chunk along Z")
    levels: int | None = Field(
        None,
        ge=1,
        le=20,
        description="resolution levels, each half as high and wide; null: until one is a single chunk",
    )
    content: Literal["image", "labels"] = Field(
        "image", description="labels are written as a label image of the standard, and never averaged"
    )


class PngWriterConfig(ComponentConfig):
    """Settings of the `png` writer."""

    compression: int = Field(6, ge=0, le=9, description="zlib level: 0 is fast, 9 is small")


class NumpyWriterConfig(ComponentConfig):
    """Settings of the `numpy` writer: none."""
