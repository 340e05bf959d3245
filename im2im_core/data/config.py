"""Settings that data sets of image files have in common. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from im2im_core.components import ComponentConfig
from im2im_core.layouts import Source, Subject

Size = PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=3)]


class FolderConfig(ComponentConfig):
    """Settings of every data set of image files."""

    path: str | None = Field(default=None, description="folder or CSV of the images and targets")
    train: str | None = Field(default=None, description="instead of path: folder or CSV of the training images")
    val: str | None = Field(default=None, description="folder or CSV of the validation images")
    val_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the images set apart for validation where none are given; at least 1 of 2 or more images",
    )
    channels: tuple[str | int, ...] = Field(
        default=(),
        description="channels of the images that are learned from, names or numbers from 0, in this order; empty: all; "
        "of files with more channels than these, prediction takes the same",
    )
    spatial_dims: Literal[2, 3] | None = Field(default=None, description="2 or 3; by default as the first image")
    patch_size: Size | None = Field(
        default=None, description="pixels per axis of a training patch, one number or [Z,] Y, X; null: whole images"
    )
    patches_per_image: PositiveInt = Field(default=4, description="patches taken from each image in an epoch")
    batch_size: PositiveInt = Field(default=4, description="patches in a batch, each from any image")
    drop_last: bool = Field(default=False, description="leave out the last batch of an epoch when it is not full")
    val_max_size: Size | None = Field(
        default=2048,
        description="validation takes whole images, of longer axes the central pixels; one number or [Z,] Y, X",
    )
    num_workers: int = Field(default=0, ge=0, description="processes that prepare batches beside the training")
    cache: Literal["persistent", "memory", "smart", "none"] = Field(
        default="persistent",
        description="keeps preprocessed images: on disk, in memory, a changing part of them in memory, not at all",
    )
    cache_dir: str | None = Field(
        default=None, description="folder of the persistent cache, for sharing it between runs; by default in the run"
    )
    cache_rate: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the training images in memory; with 'smart' only these are trained on, until some change",
    )
    reload_every: PositiveInt = Field(default=1, description="with 'smart': epochs after which images are replaced")
    reload_share: float = Field(
        default=0.25, gt=0, le=1, description="with 'smart': share of the images in memory that are replaced"
    )

    @field_validator("channels", mode="before")
    @classmethod
    def _one_channel(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | int) else value

    @model_validator(mode="after")
    def _one_source(self) -> FolderConfig:
        if (self.path is None) == (self.train is None):
            raise ValueError("give the data either as path (--data DIR) or as train")
        return self

    @property
    def source(self) -> Source:
        """What `find_split` takes."""
        if self.path is None:
            return {"train": self.train, "val": self.val}
        return {"train": self.path, "val": self.val} if self.val else self.path

    def choose_channels(self, subjects: Iterable[Subject]) -> list[Subject]:
        """The subjects with the channels of their images that are meant."""
        channels = tuple(str(channel) for channel in self.channels)
        return [replace(subject, channels=channels) for subject in subjects]

    def size(self, value: int | tuple[int, ...] | None, spatial_dims: int, name: str) -> tuple[int, ...] | None:
        """A size per spatial axis.

        Raises:
            ValueError: the number of values does not fit the dimensions.
        """
        if value is None or isinstance(value, int):
            return None if value is None else (value,) * spatial_dims
        if len(value) != spatial_dims:
            raise ValueError(f"{name}: {len(value)} numbers for {spatial_dims}D images: '{list(value)}'")
        return value
