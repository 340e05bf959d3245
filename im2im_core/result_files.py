"""The files of one predicted image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from im2im_core.image import Image
from im2im_core.interfaces import ImageWriter, RegionWriter
from im2im_core.object_table import ObjectTable, write_objects
from im2im_core.prediction import Predictor, as_target
from im2im_core.results import Wanted, pixel_size_of, predict_blocks, raw_image
from im2im_core.time_lapse import predict_frames

OBJECTS, RAW = "objects", "network-output"


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where the results of an image go.

    Attributes:
        out: the folder.
        suffix: format of results.
        writer: of that format.
        objects: write `objects/STEM.csv`, where the results are labels.
        raw: writer of the network's output, `network-output/STEM` in the same format; None: it is not written.
    """

    out: Path
    suffix: str
    writer: ImageWriter
    objects: bool = True
    raw: ImageWriter | None = None

    def result(self, stem: str) -> Path:
        """File of labels, classes or an image."""
        return self.out / f"{stem}{self.suffix}"

    def output(self, stem: str) -> Path:
        """File of the network's output."""
        return self.out / RAW / f"{stem}{self.suffix}"

    def table(self, stem: str) -> Path:
        """File of the objects."""
        return self.out / OBJECTS / f"{stem}.csv"

    def predict(
        self, predictor: Predictor, image: Image, stem: str, progress: Callable[[float], None] | None = None
    ) -> list[Path]:
        """Predict and write; what is large is written block by block. Nothing half-written is left under its name.

        Returns:
            The files.
        """
        if image.sizes.get("T", 1) > 1:
            return predict_frames(self, predictor, image, stem, progress)
        if predictor.is_large(image):
            rows = predict_blocks(predictor, image, self.wanted(stem), progress)
            return self.written(predictor, stem, rows)
        raw = predictor.raw(image)
        if self.raw:
            self.raw.write(self.output(stem), raw_image(predictor, raw, image))
        post = predictor.postprocessing(image)
        found, scores = post.with_scores(raw)
        self.writer.write(self.result(stem), predictor.as_image(as_target(found, predictor.bundle), image))
        if not (self.objects and post.labels):
            return self.images(stem)
        objects = ObjectTable("ZYX"[-predictor.spatial_dims :], int(found.max(initial=0)))
        objects.add(found, (0,) * found.ndim)
        return self.written(predictor, stem, objects.rows(pixel_size_of(predictor, image), scores))

    def wanted(self, stem: str) -> Wanted:
        """What is to come out of an image that is predicted block by block."""
        return Wanted(
            result=_creates(self.writer, self.result(stem)),
            raw=_creates(self.raw, self.output(stem)) if self.raw else None,
            objects=self.objects,
            scratch=self.out,
        )

    def written(self, predictor: Predictor, stem: str, rows: list[dict[str, Any]] | None) -> list[Path]:
        """Write the table of objects of an image, if it has one; returns all its files."""
        if rows is None:
            return self.images(stem)
        write_objects(self.table(stem), "ZYX"[-predictor.spatial_dims :], rows)
        return [*self.images(stem), self.table(stem)]

    def images(self, stem: str) -> list[Path]:
        """The result and, where it is wanted, the network's output."""
        return [self.result(stem), *([self.output(stem)] if self.raw else [])]


def _creates(writer: ImageWriter, path: Path) -> Callable[[Image, tuple[int, ...], Any], RegionWriter]:
    return lambda like, shape, dtype: writer.create(path, like, shape, dtype)
