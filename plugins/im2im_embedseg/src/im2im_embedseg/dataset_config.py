"""Settings of the data set of objects. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from im2im_core.data.config import FolderConfig, Size

PATCH_SIZE = {2: (128, 128), 3: (32, 64, 64)}


class InstancesConfig(FolderConfig):
    """Settings of `instances`."""

    path: str | None = Field(
        default=None,
        description="folder or CSV of images and label images, as for 'paired'; or a folder of cached instance crops",
    )
    mode: Literal["on-the-fly", "instance-crops"] = Field(
        default="on-the-fly",
        description="patches cut anew from the images in every epoch, or one crop around each object, cut once and "
        "kept in cache_dir",
    )
    patch_size: Size | None = Field(
        default=None,
        description="pixels per axis of a patch or crop, one number or [Z,] Y, X; null: 128 in 2D, 32, 64, 64 in 3D, "
        "or that of the cached crops",
    )
    patches_per_image: int = Field(
        default=0,
        ge=0,
        description="patches in an epoch for each image; 0: 4, or with 'instance-crops' each crop once",
    )
    weighting: Literal["objects", "images"] = Field(
        default="objects",
        description="what is visited equally often: every object of the data set, or every image and each object in it",
    )
    object_fraction: float = Field(
        default=0.9, ge=0, le=1, description="on the fly: share of patches around an object; the others lie anywhere"
    )
    jitter: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="on the fly: how far from the middle of a patch its object's centre may lie; 1: up to the border",
    )
    center: Literal["centroid", "approximate-medoid", "medoid"] | None = Field(
        default=None,
        description="centre of an object: what its crop is centred on, and its mark in the centre image; null: "
        "centroid, or as in the cached crops",
    )
    anisotropy: float | None = Field(
        default=None,
        gt=0,
        description="distance of neighbours in Z over that in Y and X, for medoids; null: from the pixel size",
    )
    prepare_workers: int | None = Field(
        default=None, ge=0, description="processes that prepare images before the training; null: one per processor"
    )

    @model_validator(mode="after")
    def _known_objects(self) -> InstancesConfig:
        if self.cache == "smart" and self.mode == "on-the-fly" and self.weighting == "objects":
            raise ValueError("cache 'smart' does not hold all objects; set weighting=images with it")
        return self
