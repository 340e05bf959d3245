"""Settings of the networks with transformers. Loads no torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from im2im_fcn.networks.checks import PerAxis, Width, check_divisible, per_axis
from im2im_fcn.networks.config import DropoutConfig

UNETR_PATCH = 16
_DEFAULT_WINDOW = (32, 96, 96)


class UNETRConfig(DropoutConfig):
    """Vision transformer with a convolutional way up, of a fixed input size."""

    input_size: PerAxis | None = Field(
        default=None,
        description="Pixels that it sees at once, for all axes or per axis, multiples of 16; none: 96 x 96, in 3D "
        "32 x 96 x 96. Smaller images are padded, and larger ones predicted in windows of this size; patches of this "
        "size train fastest.",
    )
    overlap: float = Field(default=0.25, ge=0, lt=1, description="Share of a window that the next one covers again.")
    feature_size: Width = Field(default=16, description="Channels at full size; each level doubles them.")
    hidden_size: Width = Field(default=768, description="Length of a token.")
    mlp_dim: Width = Field(default=3072, description="Width of the layers between attentions.")
    num_heads: Width = Field(default=12, description="Attention heads; must divide hidden_size.")

    @model_validator(mode="after")
    def _check(self) -> UNETRConfig:
        size = self.input_size
        sizes = () if size is None else (size,) if isinstance(size, int) else size
        if isinstance(size, tuple) and len(size) not in (2, 3):
            raise ValueError(f"input_size needs one number, or one for each of 2 or 3 axes, and has {len(size)}")
        for pixels in sizes:
            if pixels < UNETR_PATCH:
                raise ValueError(f"input_size must be at least {UNETR_PATCH}, and is {pixels}")
            check_divisible("input_size", pixels, UNETR_PATCH, "the size of a token's patch")
        check_divisible("hidden_size", self.hidden_size, self.num_heads, "num_heads")
        return self

    def window(self, spatial_dims: int) -> tuple[int, ...]:
        """`input_size` for each of the axes.

        Raises:
            ConfigError: it is given for another number of axes.
        """
        return per_axis(_DEFAULT_WINDOW[-spatial_dims:] if self.input_size is None else self.input_size, spatial_dims)


class SwinUNETRConfig(DropoutConfig):
    """Shifted-window transformer with a convolutional way up."""

    feature_size: int = Field(default=24, ge=12, description="Channels of the first stage; a multiple of 12.")
    depths: tuple[Width, ...] = Field(
        default=(2, 2, 2, 2), min_length=4, max_length=4, description="Transformer blocks per stage."
    )
    num_heads: tuple[Width, ...] = Field(
        default=(3, 6, 12, 24), min_length=4, max_length=4, description="Attention heads per stage."
    )
    window_size: Width = Field(default=7, description="Tokens per axis that attend to each other.")

    @model_validator(mode="after")
    def _check(self) -> SwinUNETRConfig:
        check_divisible("feature_size", self.feature_size, 12, "heads and groups of the first stage")
        for stage, heads in enumerate(self.num_heads):
            check_divisible(f"feature_size at stage {stage + 1}", self.feature_size * 2**stage, heads, "num_heads")
        return self
