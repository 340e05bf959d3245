"""The files of one predicted image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from im2im_core.time_lapse import predict_frames
from im2im_core.image import Image
from im2im_core.interfaces import ImageWriter, RegionWriter
from im2im_core.object_table import ObjectTable, write_objects
from im2im_core.prediction import Predictor, as_target
from im2im_core.results import Wanted, pixel_size_of, predict_blocks, raw_image

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
    ) -> None:
        """Predict and write; what is large is written block by block. Nothing half-written is left under its name."""
        if image.sizes.get("T", 1) > 1:
            predict_frames(self, predictor, image, stem, progress)
            return
        target, raw_target, table = self.result(stem), self.output(stem), self.table(stem)
        labels = predictor.postprocessing(image).labels
        axes = "ZYX"[-predictor.spatial_dims :]
        if predictor.is_large(image):
            wanted = Wanted(
                result=_creates(self.writer, target),
                raw=_creates(self.raw, raw_target) if self.raw else None,
                objects=self.objects,
                scratch=self.out,
            )
            rows = predict_blocks(predictor, image, wanted, progress)
            if rows is not None:
                write_objects(table, axes, rows)
            return
        raw = predictor.raw(image)
        if self.raw:
            self.raw.write(raw_target, raw_image(predictor, raw, image))
        found, scores = predictor.postprocessing(image).with_scores(raw)
        self.writer.write(target, predictor.as_image(as_target(found, predictor.bundle), image))
        if self.objects and labels:
            objects = ObjectTable(axes, int(found.max(initial=0)))
            objects.add(found, (0,) * found.ndim)
            write_objects(table, axes, objects.rows(pixel_size_of(predictor, image), scores))


def _creates(writer: ImageWriter, path: Path) -> Callable[[Image, tuple[int, ...], Any], RegionWriter]:
    return lambda like, shape, dtype: writer.create(path, like, shape, dtype)
