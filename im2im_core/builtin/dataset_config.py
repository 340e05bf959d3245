"""Settings of the data sets of image pairs, and of images and targets that are no pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from im2im_core.data.config import FolderConfig, Size


class PairedConfig(FolderConfig):
    """Settings of `paired`."""

    path: str | None = Field(
        default=None,
        description="folder of 'X_IM' and 'X_GT' files, or with sub-folders IM and GT, or train and val; or a CSV with "
        "the columns image,target,costmap, where a number in every row may be the target of a regression",
    )
    cache: Literal["persistent", "memory", "smart", "none", "lazy"] = Field(  # type: ignore[assignment]  # one kind more
        default="persistent",
        description="keeps preprocessed images: on disk, in memory, a changing part of them in memory, not at all; "
        "with 'lazy' images are never read whole: the pixels of each patch come from the file, best a tiled one",
    )
    sampling: Literal["uniform", "foreground"] = Field(
        default="uniform",
        description="where patches lie: anywhere, or by foreground_fraction on the target's foreground",
    )
    foreground_fraction: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="with sampling 'foreground': share of patches centred where the target is above 0",
    )

    @model_validator(mode="after")
    def _patches(self) -> PairedConfig:
        if self.cache == "lazy" and self.patch_size is None:
            raise ValueError("cache 'lazy' reads patches: set patch_size")
        return self


class UnpairedConfig(FolderConfig):
    """Settings of `unpaired`."""

    path: str | None = Field(
        default=None,
        description="folder with sub-folders A and B (images, targets), or IM and GT, or train and val; or of 'X_IM' "
        "and 'X_GT' files; or a CSV with the columns image,target, where cells may be empty",
    )
    patches_per_image: PositiveInt = Field(
        default=4, description="patches taken in an epoch from each image, or from each target where there are more"
    )
    val_max_size: Size | None = Field(
        default=2048,
        description="validation takes the central pixels that image and target both have, and of longer axes this "
        "many; one number or [Z,] Y, X",
    )
