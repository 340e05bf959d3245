"""What factories build, as Protocols. A plug-in need not import them: having the methods is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from im2im_core.image import Image

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

Sample = dict[str, Any]
NumpyArray = np.ndarray[Any, Any]
ReadImage = Callable[[Path], Image]
"""Opens a file lazily. Raises DataError (with the reason) when it cannot; must not leave the file open for writing."""
NetworkBuilder = Callable[[int, int], "nn.Module"]
"""`network(in_channels, out_channels)`."""
DiscriminatorBuilder = Callable[[int], "nn.Module"]
"""`discriminator(in_channels)`."""
PostprocessArray = Callable[[NumpyArray], NumpyArray]
ScoreArrays = Callable[[NumpyArray, NumpyArray], dict[str, float]]
ScoreSets = Callable[[Iterable[NumpyArray], Iterable[NumpyArray]], dict[str, float]]
"""What a metric of whole sets is: all predictions, all targets -> figures."""


class RegionWriter(Protocol):
    """A file that is written piece by piece and appears under its name only once it is complete."""

    def write_region(self, start: tuple[int, ...], data: NumpyArray) -> None:
        """Write `data` with its first pixel at `start`, in the axes of the file."""

    def close(self) -> None:
        """Complete the file and give it its final name."""

    def abort(self) -> None:
        """Leave nothing behind."""


class ImageWriter(Protocol):
    """Writes one format."""

    def write(self, path: Path, image: Image) -> None:
        """Write a whole image: beside first, then renamed."""

    def create(self, path: Path, like: Image, shape: tuple[int, ...], dtype: Any) -> RegionWriter:
        """Start a file of `shape` in the axes of `like`, with its pixel size and channel names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What a dataset knows about its files before any of them is used for training.

    Attributes:
        pairs: number of training subjects.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        target_channels: channels of the target.
        pixel_size: micrometre per pixel by axis, of the first image; empty when unknown.
        axes: axes of the first image as stored.
        dtype: pixel type of the first image.
        target_dtype: pixel type of the first target.
        has_costmap: at least one subject has a cost map.
        channel_names: names of the image's channels, or empty.
        number_targets: the targets are numbers, one for an image, and not images.
        sides: numbers of training images and of targets, where these are no pairs; `pairs` is then the larger one.
    """

    pairs: int
    spatial_dims: int
    in_channels: int
    target_channels: int
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    axes: str = ""
    dtype: str = ""
    target_dtype: str = ""
    has_costmap: bool = False
    channel_names: tuple[str, ...] = ()
    number_targets: bool = False
    sides: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSurvey:
    """What the pixels of a data set are.

    Attributes:
        shapes: spatial shape of every training image, [Z], Y, X.
        pixel_size: micrometre per pixel by axis, of the first image; empty when unknown.
        image_range: of each image channel the 1st and the 99.8th percentile; empty when not asked for.
        target_range: the same of each target channel.
        classes: the different whole numbers in the targets, rising; at most 1000 of them; empty for other targets.
        foreground: share of target pixels above 0.
        class_pixels: pixels of each of `classes`, over all targets.
        object_sizes: pixels of each object, where targets look like objects.
        numbers: the targets, where they are numbers and not images.
        alone: files that lack their partner, and were left out.
    """

    shapes: tuple[tuple[int, ...], ...]
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    image_range: tuple[tuple[float, float], ...] = ()
    target_range: tuple[tuple[float, float], ...] = ()
    classes: tuple[int, ...] = ()
    foreground: float = 0.0
    class_pixels: Mapping[int, int] = field(default_factory=dict)
    object_sizes: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()
    alone: tuple[Path, ...] = ()

    @property
    def median_shape(self) -> tuple[int, ...]:
        """Median of each axis."""
        return tuple(int(n) for n in np.median(np.asarray(self.shapes), axis=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        model: the trained module, with the weights of the best epoch.
        epochs: epochs completed, over all resumptions.
        steps: optimizer steps completed.
        metrics: last or best validation figures by name.
        interrupted: stopped by the user before its end; what was done is kept.
        checkpoint: where to resume from.
    """

    model: LightningModule
    epochs: int
    steps: int
    metrics: Mapping[str, float]
    interrupted: bool = False
    checkpoint: Path | None = None


class ModelTrainer(Protocol):
    """Runs a training."""

    def fit(
        self,
        model: LightningModule,
        data: LightningDataModule,
        run_dir: Path,
        *,
        resume: Path | None = None,
        validate: Callable[[NumpyArray, NumpyArray], dict[str, float]] | None = None,
        monitor: tuple[str, bool] | None = None,
    ) -> TrainingResult:
        """Train and return the model of the best epoch.

        Args:
            model: what to train.
            data: batches.
            run_dir: an existing folder for checkpoints, logs and previews.
            resume: a checkpoint of an earlier run with the same configuration.
            validate: figures from one validation subject's prediction (K, [Z], Y, X) and target (C, [Z], Y, X).
            monitor: name of the figure that decides which epoch is best, and whether higher is better.
        """
