"""Settings of the models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from im2im_core import ComponentConfig

FcnTask = Literal["restoration", "translation", "semantic-segmentation", "regression"]
Range = Annotated[tuple[float, float], Field(description="low and high")]


class PairsConfig(ComponentConfig):
    """Settings of every model that is trained on pairs."""

    task: FcnTask = Field(default="translation", description="what the targets are: images, classes, or a number")
    classes: int | None = Field(
        default=None,
        ge=1,
        description="for segmentation: classes with the background; 1: foreground, whatever its number; null: as the "
        "targets have",
    )
    target_range: tuple[Range, ...] | None = Field(
        default=None,
        description="for images and numbers: of each target channel the intensities that the network sees as 0 and 1; "
        "null: the 1st and 99.8th percentile of all targets",
    )


class FcnConfig(PairsConfig):
    """Settings of `fcn`."""

    residual: bool = Field(
        default=False,
        description="for images: the network predicts what to add to the image, which is in the target's units; "
        "needs preprocessing=[]",
    )

    @model_validator(mode="after")
    def _images_only(self) -> FcnConfig:
        if self.residual and self.task not in ("restoration", "translation"):
            raise ValueError(f"residual: not with task '{self.task}'")
        return self


class ProbabilisticConfig(PairsConfig):
    """Settings of `probabilistic-unet`."""

    features: int = Field(default=16, ge=1, description="channels of the network's output, before the latent is added")
    latent_dim: int = Field(default=6, ge=1, description="length of the latent vector")
    latent_channels: tuple[int, ...] = Field(
        default=(16, 32, 64), min_length=1, description="channels of each level of the prior and the posterior encoder"
    )
    beta: float = Field(default=1.0, ge=0, description="weight of the divergence of posterior and prior in the ELBO")
    kl_clamp: float | None = Field(
        default=None, gt=0, description="cuts off the log variances in the divergence, for training in half precision"
    )
