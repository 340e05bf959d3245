"""What the command line does, for notebooks and scripts: arrays, images or files in, arrays or images out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from im2im_core.averages import mean_of_defined
from im2im_core.build import build_metrics
from im2im_core.bundle import BundleManifest, find_bundle, open_bundle
from im2im_core.config import resolve
from im2im_core.errors import DataError
from im2im_core.formats import image_loader
from im2im_core.image import Image
from im2im_core.layers import read_yaml
from im2im_core.metric_choice import choose_metrics
from im2im_core.prediction import Predictor
from im2im_core.processes import shared_run_folder
from im2im_core.registry import Registry
from im2im_core.selection import as_trained
from im2im_core.training import FinishedRun, InitialWeights, new_run_dir
from im2im_core.training import train as run_training

NumpyArray = np.ndarray[Any, Any]
PathOrName = str | PathLike[str]
_AXES = {(2, 2): "YX", (2, 3): "CYX", (3, 3): "ZYX", (3, 4): "CZYX"}


class TrainedModel:
    """A bundle, ready to predict.

    Args:
        path: the bundle's folder, or the run's that holds it.
        device: "auto", or a torch device such as "cpu", "cuda:1", "mps".
        window: pixels per spatial axis of a window; None: as the bundle states.
        overlap: share by which windows overlap; None: as the bundle states.

    Raises:
        BundleError: there is none, it is damaged, or a plug-in that it needs is not installed.
        ConfigError: the device cannot be used.
    """

    def __init__(
        self,
        path: PathOrName,
        *,
        device: str = "auto",
        window: tuple[int, ...] | None = None,
        overlap: float | None = None,
    ) -> None:
        self.path = find_bundle(Path(path))
        registry = Registry.discover()
        bundle = open_bundle(self.path, registry)
        self._predictor = Predictor(bundle, device=device, window=window, overlap=overlap)
        self._load = image_loader(registry, bundle.config.reader)

    @property
    def manifest(self) -> BundleManifest:
        """Task, axes, channels, pixel size and figures of the bundle."""
        return self._predictor.bundle.manifest

    @overload
    def predict(
        self, image: NumpyArray, *, axes: str | None = None, progress: Callable[[float], None] | None = None
    ) -> NumpyArray: ...
    @overload
    def predict(
        self, image: Image | PathOrName, *, axes: str | None = None, progress: Callable[[float], None] | None = None
    ) -> Image: ...
    def predict(
        self,
        image: NumpyArray | Image | PathOrName,
        *,
        axes: str | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> NumpyArray | Image:
        """From an image to the result: labels ([Z], Y, X), a class map, or an image ([C], [Z], Y, X).

        Args:
            image: an array, an `Image`, or a file.
            axes: of an array, such as "CYX"; None: [C], [Z], Y, X by the number of its dimensions.
            progress: told the share that is done.

        Returns:
            An array for an array; otherwise an `Image`, which has axes and pixel size.

        Raises:
            DataError: unreadable, of other channels or dimensions than the model's, or with NaN in it.
        """
        if isinstance(image, np.ndarray):
            return self._predictor.predict(self._as_image(image, axes), progress).compute()
        opened = image if isinstance(image, Image) else self._load(Path(image))
        opened = as_trained(opened, self._predictor.bundle.channels, self.manifest.in_channels)
        return self._predictor.predict(opened, progress)

    def _as_image(self, array: NumpyArray, axes: str | None) -> Image:
        dims = self._predictor.spatial_dims
        axes = axes or _AXES.get((dims, array.ndim))
        if axes is None:
            raise DataError(f"an array of shape {array.shape} is no image for a {dims}D model", "name its axes")
        return Image(array, axes)


def load_bundle(path: PathOrName, *, device: str = "auto") -> TrainedModel:
    """Open a trained model; see `TrainedModel`."""
    return TrainedModel(path, device=device)


def predict(bundle: PathOrName, image: NumpyArray, *, axes: str | None = None, device: str = "auto") -> NumpyArray:
    """Apply a bundle to one array; `load_bundle` saves opening it anew for each of many. See `TrainedModel.predict`."""
    return load_bundle(bundle, device=device).predict(image, axes=axes)


def train(
    data: PathOrName,
    *,
    preset: str | None = None,
    model: str | None = None,
    out: PathOrName = "runs",
    channels: Sequence[str | int] = (),
    settings: Mapping[str, Any] | None = None,
    config: PathOrName | None = None,
    init_from: PathOrName | None = None,
) -> FinishedRun:
    """Train on a folder or CSV of images and targets, as `im2im train` does.

    Args:
        data: folder or CSV.
        preset: settings for a kind of data.
        model: instead of the preset's.
        out: folder in which the run's folder is made.
        channels: of the images, names or numbers from 0; empty: all.
        settings: by dotted name, as {"trainer.max_epochs": 5}.
        config: YAML file of settings, as `im2im init` writes it; preset and model lie below and above it.
        init_from: bundle whose weights the training starts from.

    Returns:
        The run: `bundle` is the folder that `load_bundle` takes, `result.metrics` are the validation figures.

    Raises:
        Im2imError: for whatever a user can mend, with a hint.
    """
    registry = Registry.discover()
    flags = {"model": {"name": model}} if model else {}
    # As settings too, so that the data are for whichever data set the others choose.
    given = {"dataset.path": str(data), **({"dataset.channels": list(channels)} if channels else {})}
    assignments = [f"{name}={json.dumps(value)}" for name, value in {**given, **(settings or {})}.items()]
    file = read_yaml(Path(config)) if config else {}
    run = resolve(registry, preset=preset, file=file, flags=flags, assignments=assignments)
    start = InitialWeights(find_bundle(Path(init_from))) if init_from else None
    with shared_run_folder(lambda: new_run_dir(Path(out), run)) as run_dir:
        return run_training(registry, run, run_dir, init_from=start)


def evaluate(
    predictions: Iterable[NumpyArray], targets: Iterable[NumpyArray], metrics: Sequence[str]
) -> dict[str, float]:
    """Figures averaged over images; an image for which one is not defined does not count for it.

    Args:
        predictions: results ([Z], Y, X), or images ([C], [Z], Y, X).
        targets: as many, of the same shapes.
        metrics: names, such as "average-precision"; see `im2im list metrics`.

    Raises:
        DataError: more of the ones than of the others.
        ConfigError: there is no such metric.
    """
    chosen = build_metrics(choose_metrics(Registry.discover(), metrics))
    figures: dict[str, list[float]] = {}
    pairs = [list(predictions), list(targets)]
    if len(pairs[0]) != len(pairs[1]):
        raise DataError(f"{len(pairs[0])} predictions for {len(pairs[1])} targets", "give one for each")
    for prediction, target in zip(*pairs, strict=True):
        for metric in chosen.values():
            for name, value in metric(prediction, target).items():
                figures.setdefault(name, []).append(float(value))
    return {name: mean_of_defined(values) for name, values in figures.items()}
