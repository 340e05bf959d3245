"""Settings of the transforms that ship with the core."""

from __future__ import annotations

from pydantic import Field, model_validator

from im2im_core.components import ComponentConfig


class NormalizeConfig(ComponentConfig):
    """Settings of `normalize-zscore` and `normalize-minmax`."""

    keys: tuple[str, ...] = Field(default=("image",), min_length=1, description="parts of a sample to normalize")
    per_channel: bool = Field(default=True, description="statistics of each channel by itself, else of all together")


class NormalizePercentileConfig(NormalizeConfig):
    """Settings of `normalize-percentile`."""

    low: float = Field(default=1.0, ge=0, le=100, description="percentile that becomes 0")
    high: float = Field(default=99.8, ge=0, le=100, description="percentile that becomes 1")
    clip: bool = Field(default=False, description="cut off below 0 and above 1")

    @model_validator(mode="after")
    def _ordered(self) -> NormalizePercentileConfig:
        if self.low >= self.high:
            raise ValueError(f"low must be below high (got '{self.low}' and '{self.high}')")
        return self
