"""Pictures of a case: image, prediction, target, and where they differ. Loads scipy and Pillow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps

from im2im_core.evaluation import common_axes
from im2im_core.evaluation_record import Case
from im2im_core.image import Image
from im2im_core.interfaces import NumpyArray, ReadImage
from im2im_core.object_matching import as_labels, object_overlaps
from im2im_core.report_drawing import colored, composite, css, fit, hue, outline, png, stretch
from im2im_core.report_words import MINUS, write_figure

MATCHED, MISSED, EXTRA, CONFUSED = (60, 200, 140), (255, 90, 170), (255, 170, 40), (160, 140, 255)


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture.

    Attributes:
        caption: what it shows, in a word or two.
        png: the file.
        legend: colour and meaning, where colours need one.
    """

    caption: str
    png: bytes
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Planes:
    """One plane of a case. Images (C, Y, X) as they were stored; labels (Y, X)."""

    image: NumpyArray | None
    prediction: NumpyArray
    target: NumpyArray
    where: str


def case_panels(case: Case, load: ReadImage, kind: str) -> tuple[list[Panel], str]:
    """Pictures of a case, side by side.

    Args:
        case: what to show; it must have a prediction on disk.
        load: opens a file.
        kind: "objects", "classes" or "image".

    Returns:
        The panels, and which plane of a stack they show (empty for a 2D image).

    Raises:
        DataError: a file cannot be read, or does not fit.
    """
    assert case.prediction_path is not None
    prediction, target = load(case.prediction_path), load(case.target_path)
    image = load(case.image_path) if case.image_path is not None else None
    planes = _one_plane(image, prediction, target, as_map=kind != "image")
    draw = {"objects": _object_panels, "classes": _class_panels, "image": _image_panels}[kind]
    return draw(planes), planes.where


def _one_plane(image: Image | None, prediction: Image, target: Image, *, as_map: bool) -> _Planes:
    axes = common_axes(prediction, target)
    axes = ("" if as_map else "C") + "".join(axis for axis in axes if axis in "ZYX")
    depth = target.sizes.get("Z", 1) if "Z" in axes else 1
    pixels = target.to_axes(axes).compute()
    index = depth // 2
    if as_map and depth > 1:  # a plane with something in it
        index = int(np.count_nonzero(pixels, axis=(1, 2)).argmax())

    def plane(source: Image, wanted: str) -> NumpyArray:
        array = source.to_axes(wanted).compute()
        return fit(array.take(index, axis=wanted.index("Z")) if "Z" in wanted else array, smooth=not as_map)

    shown = None
    if image is not None:
        wanted = "CZYX" if depth > 1 else "CYX"
        array = image.to_axes(wanted).compute()
        shown = fit(array[:, index] if depth > 1 else array, smooth=True)
    where = f"plane {index + 1} of {depth}" if depth > 1 else ""
    return _Planes(shown, plane(prediction, axes), plane(target, axes), where)


def _object_panels(planes: _Planes) -> list[Panel]:
    prediction, target = as_labels(planes.prediction, "prediction"), as_labels(planes.target, "target")
    ground = _ground(planes, target.shape)
    overlaps = object_overlaps(prediction, target)
    target_hits, prediction_hits, _ = overlaps.match(0.5)
    partner = dict(zip(overlaps.prediction_ids[prediction_hits], overlaps.target_ids[target_hits], strict=True))
    ours = {int(label): hue(int(partner.get(label, label + 7919))) for label in overlaps.prediction_ids}
    theirs = {int(label): hue(int(label)) for label in overlaps.target_ids}
    found = np.isin(target, overlaps.target_ids[target_hits]) & (target > 0)
    extra = (prediction > 0) & ~np.isin(prediction, overlaps.prediction_ids[prediction_hits])
    compared = (0.55 * ground).astype(np.uint8)
    outline_target, outline_prediction = outline(target), outline(prediction)
    compared[outline_prediction & extra] = EXTRA
    compared[outline_target & found] = MATCHED
    compared[outline_target & ~found] = MISSED
    legend = (
        (css(MATCHED), f"{len(target_hits)} found"),
        (css(MISSED), f"{len(theirs) - len(target_hits)} missed"),
        (css(EXTRA), f"{len(ours) - len(target_hits)} extra"),
    )
    return [
        *_image_panel(planes),
        Panel("Prediction", png(colored(ground, prediction, ours))),
        Panel("Target", png(colored(ground, target, theirs))),
        Panel("Compared at IoU 0.50", png(compared), legend),
    ]


def _class_panels(planes: _Planes) -> list[Panel]:
    prediction, target = _class_map(planes.prediction), _class_map(planes.target)
    ground = _ground(planes, target.shape)
    colors = {int(number): hue(int(number)) for number in np.union1d(prediction, target) if number}
    compared = (0.55 * ground).astype(np.uint8)
    legend = []
    for color, name, where in (
        (MISSED, "missed", (target > 0) & (prediction == 0)),
        (EXTRA, "extra", (target == 0) & (prediction > 0)),
        (CONFUSED, "other class", (target > 0) & (prediction > 0) & (target != prediction)),
    ):
        if where.any():
            compared[where] = color
            legend.append((css(color), f"{name} {where.mean():.1%}"))
    return [
        *_image_panel(planes),
        Panel("Prediction", png(colored(ground, prediction, colors))),
        Panel("Target", png(colored(ground, target, colors))),
        Panel("Where they differ", png(compared), tuple(legend)),
    ]


def _image_panels(planes: _Planes) -> list[Panel]:
    limits = stretch(planes.target)  # one scale for both, or a wrong brightness would be hidden
    difference = (planes.prediction.astype(np.float64) - planes.target.astype(np.float64)).mean(axis=0)
    limit = float(np.percentile(np.abs(difference), 99.5)) or 1.0
    shades = colormaps["RdBu_r"](np.clip(0.5 + difference / (2 * limit), 0, 1))[..., :3]
    return [
        *_image_panel(planes),
        Panel("Prediction", png(composite(planes.prediction, limits))),
        Panel("Target", png(composite(planes.target, limits))),
        Panel(
            f"Prediction {MINUS} target",
            png((255 * shades).astype(np.uint8)),
            (("#2166ac", write_figure(-limit)), ("#b2182b", write_figure(limit, signed=True))),
        ),
    ]


def _image_panel(planes: _Planes) -> list[Panel]:
    if planes.image is None:
        return []
    return [Panel("Image", png(composite(planes.image, stretch(planes.image))))]


def _ground(planes: _Planes, shape: tuple[int, ...]) -> NumpyArray:
    """The image in RGB to draw on; black when there is none or it has another size."""
    if planes.image is None or planes.image.shape[1:] != shape:
        return np.zeros((*shape, 3), dtype=np.uint8)
    return composite(planes.image, stretch(planes.image))


def _class_map(array: NumpyArray) -> NumpyArray:
    if array.dtype.kind == "f" and (array != np.trunc(array)).any():
        return (array > 0.5).astype(np.int64)
    classes = array.astype(np.int64)
    return np.asarray(np.where(classes == 255, 1, classes) if classes.max() == 255 else classes)
