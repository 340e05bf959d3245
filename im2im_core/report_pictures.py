"""Pictures of a case: image, prediction, target, and where they differ. Loads scipy and Pillow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps

from im2im_core.drawing import colored, composite, css, fit, hue, outline, png, stretch
from im2im_core.evaluation import common_axes
from im2im_core.evaluation_record import Case
from im2im_core.image import Image
from im2im_core.interfaces import NumpyArray, ReadImage
from im2im_core.object_matching import ObjectOverlaps, as_labels, object_overlaps
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
    """One plane of a case to draw, and for objects how those of the whole image overlap.

    Images are (C, Y, X), labels and classes (Y, X), scaled for display.
    """

    image: NumpyArray | None
    prediction: NumpyArray
    target: NumpyArray
    where: str
    overlaps: ObjectOverlaps | None


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
    planes = _one_plane(image, prediction, target, kind)
    draw = {"objects": _object_panels, "classes": _class_panels, "image": _image_panels}[kind]
    return draw(planes), planes.where


def _one_plane(image: Image | None, prediction: Image, target: Image, kind: str) -> _Planes:
    axes = "".join(axis for axis in common_axes(prediction, target) if axis in "ZYX")
    axes = f"C{axes}" if kind == "image" else axes
    arrays = [source.to_axes(axes).compute() for source in (prediction, target)]
    overlaps = None
    if kind == "objects":  # before scaling, which may lose small objects
        arrays = [as_labels(array, what) for array, what in zip(arrays, ("prediction", "target"), strict=True)]
        overlaps = object_overlaps(*arrays)
    depth = target.sizes["Z"] if "Z" in axes else 1
    index = depth // 2
    if kind != "image" and depth > 1:  # the plane with most in it
        index = int(np.count_nonzero(arrays[1], axis=(1, 2)).argmax())
    if image is not None:
        arrays.append(_middle(image, "CZYX" if "Z" in axes else "CYX"))
    planes = [array[..., index, :, :] if "Z" in axes else array for array in arrays]
    return _Planes(
        fit(planes[2], smooth=True) if image is not None else None,
        fit(planes[0], smooth=kind == "image"),
        fit(planes[1], smooth=kind == "image"),
        f"plane {index + 1} of {depth}" if depth > 1 else "",
        overlaps,
    )


def _middle(image: Image, axes: str) -> NumpyArray:
    """All pixels along the wanted axes, and the middle of any other: an image may have more axes than its target."""
    where = [slice(None) if axis in axes else slice(size // 2, size // 2 + 1) for axis, size in image.sizes.items()]
    return image.with_data(image.data[tuple(where)]).to_axes(axes).compute()


def _object_panels(planes: _Planes) -> list[Panel]:
    prediction, target, overlaps = planes.prediction, planes.target, planes.overlaps
    assert overlaps is not None
    ground = _ground(planes, target.shape)
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
