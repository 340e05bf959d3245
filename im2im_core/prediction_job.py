"""What is done to each image that is predicted from file to file, on this machine or on others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from im2im_core.bundle import Bundle, open_bundle
from im2im_core.direction import in_direction
from im2im_core.errors import ConfigError, Im2imError
from im2im_core.execution import Execution
from im2im_core.files import check_writable
from im2im_core.finished import digest
from im2im_core.formats import image_loader, image_writer
from im2im_core.image import Image
from im2im_core.prediction import Predictor
from im2im_core.registry import Registry
from im2im_core.result_files import ResultFiles
from im2im_core.selection import Part, as_trained
from im2im_core.uncertainty import Sampling, check_sampling, predict_uncertain
from im2im_core.values_table import TASK as NUMBERS

Progress = Callable[[float], None]
UNCERTAINTY = "uncertainty"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionJob:
    """All that a process must know to predict an image; small and without open files, so it travels.

    Attributes:
        bundles: folder of the model, and of others whose mean counts.
        out: folder of the results.
        suffix: format of the results.
        execution: device, precision, compilation.
        window, overlap: instead of the bundle's.
        batch: windows per forward pass.
        block: pixels of a block, [Z], Y, X; None: as suits most.
        direction: of models that learned two.
        sampling: predict several times; None: once.
        objects: write tables of objects.
        raw: write the network's output too.
        part: which scene, time point and channels of each file.
    """

    bundles: tuple[Path, ...]
    out: Path
    suffix: str = ".tiff"
    execution: Execution = field(default_factory=Execution)
    window: tuple[int, ...] | None = None
    overlap: float | None = None
    batch: int = 4
    block: tuple[int, ...] | None = None
    direction: str | None = None
    sampling: Sampling | None = None
    objects: bool = True
    raw: bool = False
    part: Part = field(default_factory=Part)


class OpenedJob:
    """A job whose bundles are open; `load` makes it ready to predict.

    Attributes:
        key: stands for all that decides what comes out.
        task: of the model.

    Raises:
        Im2imError: a bundle, the format of results or a size cannot be used.
    """

    predictors: list[Predictor]

    def __init__(self, job: PredictionJob, registry: Registry) -> None:
        self.job = job
        bundles = [open_bundle(path, registry) for path in job.bundles]
        if job.direction is not None:
            bundles = [in_direction(bundle, job.direction) for bundle in bundles]
        manifest = bundles[0].manifest
        named = manifest.task in ("semantic-segmentation", "instance-segmentation")
        self._writer = image_writer(registry, Path(f"result{job.suffix}"), labels=named)
        self._plain = image_writer(registry, Path(f"output{job.suffix}"))
        # Of fractions, which a PNG does not hold.
        self._map_suffix = ".tiff" if job.suffix == ".png" else job.suffix
        self._maps = image_writer(registry, Path(f"map{self._map_suffix}"))
        dims = manifest.spatial_dims
        self._window, self._block = _sizes(job.window, dims, "window"), _sizes(job.block, dims, "block")
        self._bundles = bundles
        self.task = manifest.task
        self.key = _key(job, bundles)
        self.files = ResultFiles(job.out, job.suffix, self._writer, job.objects, self._plain if job.raw else None)
        self._load = image_loader(registry, bundles[0].config.reader, scene=job.part.scene)

    def load(self) -> OpenedJob:
        """Load the models, on the device.

        Raises:
            Im2imError: the folder of results cannot be written, or the device, the weights or the sampling not be used.
        """
        check_writable(self.job.out)
        self.predictors = [
            Predictor(
                bundle,
                execution=self.job.execution,
                window=self._window,
                overlap=self.job.overlap,
                batch=self.job.batch,
                block=self._block,
            )
            for bundle in self._bundles
        ]
        if self.job.sampling:
            check_sampling(self.predictors, self.job.sampling)
        return self

    @property
    def numbers(self) -> bool:
        """Results are numbers of images and not images."""
        return self.task == NUMBERS

    def image(self, path: Path) -> Image:
        """The part of a file that is meant, lazy.

        Raises:
            DataError: the file cannot be opened or has no such part.
        """
        image = self.job.part.of(self._load(path))
        bundle = self._bundles[0]
        return image if self.job.part.channels else as_trained(image, bundle.channels, bundle.manifest.in_channels)

    def in_blocks(self, image: Image) -> bool:
        """Whether it is predicted block by block, and the blocks may be predicted apart."""
        return not (self.job.sampling or self.numbers or image.sizes.get("T", 1) > 1) and self.predictors[0].is_large(
            image
        )

    def predict(self, image: Image, stem: str, progress: Progress | None = None) -> list[Path]:
        """Predict and write; returns the files.

        Raises:
            Im2imError: the image does not fit the model, cannot be read, or results cannot be written.
        """
        if self.job.sampling is None:
            return self.files.predict(self.predictors[0], image, stem, progress)
        result, maps = self.result(image)
        written = []
        for name, values in maps.items():
            written.append(self.job.out / UNCERTAINTY / f"{stem}_{name}{self._map_suffix}")
            self._maps.write(written[-1], values)
        self._writer.write(self.files.result(stem), result)
        return [*written, self.files.result(stem)]

    def result(self, image: Image) -> tuple[Image, Mapping[str, Image]]:
        """Result and maps of uncertainty in memory."""
        if self.job.sampling is None:
            return self.predictors[0].predict(image), {}
        return predict_uncertain(self.predictors, image, self.job.sampling)


def attempt(work: Callable[[], None], path: Path) -> Im2imError | None:
    """Do something with an image; whatever happens to it, the others go on."""
    try:
        work()
    except Im2imError as error:
        return error
    except Exception as error:
        _log.debug("cannot predict '%s'", path, exc_info=True)
        reason = f"'{path}': {type(error).__name__}: {error}"
        return Im2imError(reason, "if memory ran out, try a smaller --window or --batch")
    return None


def _key(job: PredictionJob, bundles: Sequence[Bundle]) -> str:
    """Stands for all that decides what comes out: models, versions of plug-ins, and settings."""
    chosen = asdict(job)
    for indifferent in ("bundles", "out", "batch"):
        del chosen[indifferent]
    del chosen["execution"]["device"]
    models = [
        [bundle.manifest.weights_sha256, bundle.config.to_yaml(), sorted(_versions(bundle).items())]
        for bundle in bundles
    ]
    return digest([chosen, models])


def _versions(bundle: Bundle) -> dict[str, str]:
    """Of the plug-ins as they are installed now, by distribution."""
    names = {"im2im-core", *(component.distribution for component in bundle.manifest.components)}
    found = {}
    for name in names - {""}:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _sizes(given: tuple[int, ...] | None, dims: int, name: str) -> tuple[int, ...] | None:
    """One number for all axes, or one per axis."""
    if given is None:
        return None
    sizes = given * dims if len(given) == 1 else given
    if len(sizes) != dims or min(sizes) < 8:
        listed = ",".join(map(str, given))
        raise ConfigError(f"--{name} '{listed}' is not one number or {dims} numbers of at least 8", f"try --{name} 128")
    return sizes
