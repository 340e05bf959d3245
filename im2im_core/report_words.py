"""How a report calls and writes figures."""

from __future__ import annotations

import math
import re

from im2im_core.evaluation_record import Evaluation

_NAMES = {
    "mean_ap": "Mean AP",
    "precision@0.50": "Precision at IoU 0.50",
    "recall@0.50": "Recall at IoU 0.50",
    "f1@0.50": "F1 at IoU 0.50",
    "panoptic_quality": "Panoptic quality",
    "segmentation_quality": "Segmentation quality (mean IoU of matched objects)",
    "recognition_quality": "Recognition quality (F1)",
    "dice": "Dice",
    "iou": "IoU",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "pearson": "Pearson r",
    "mae": "Mean absolute error",
    "rmse": "Root mean square error",
    "frechet_distance": "Frechet distance of texture",
    "kernel_distance": "Kernel distance of texture",
    "histogram_distance": "Distance of intensity histograms",
    "train_loss": "training",
    "train_loss_epoch": "training",
    "train_loss_step": "training",
    "val_loss": "validation",
    "val_loss_epoch": "validation",
}
COUNTS = ("objects", "predicted_objects")
SET_FIGURES = ("frechet_distance", "kernel_distance", "histogram_distance")
DASH, MINUS = "\u2013", "\u2212"


def describe(name: str) -> str:
    """A figure's name for people: "ap@0.50" is "AP at IoU 0.50"."""
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("val_"):
        return describe(name[4:])
    if match := re.fullmatch(r"ap@([\d.]+)", name):
        return f"AP at IoU {match[1]}"
    if match := re.fullmatch(r"(dice|iou)_class_(\d+)", name):
        return f"{_NAMES[match[1]]}, class {match[2]}"
    if match := re.fullmatch(r"(histogram_distance)_channel_(\d+)", name):
        return f"{_NAMES[match[1]]}, channel {match[2]}"
    return name.replace("_", " ")


def write_figure(value: float | None, name: str = "", *, signed: bool = False) -> str:
    """Three decimals for what lies about between -1 and 1, fewer for larger figures; a dash for none."""
    if value is None or not math.isfinite(value):
        return DASH
    sign = "+" if signed else ""
    if abs(value) >= 1000:
        text = f"{value:{sign},.0f}"
    elif name == "mae":
        text = f"{value:{sign}.3g}"
    else:
        text = f"{value:{sign}.{3 if abs(value) < 10 and name != 'psnr' else 2}f}"
    return text.replace("-", MINUS)


def write_duration(seconds: float) -> str:
    """As people say it: "14 min 5 s"."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def thresholds(evaluation: Evaluation) -> dict[float, float]:
    """Mean AP of the images by IoU threshold, ascending."""
    found = {name: re.fullmatch(r"ap@([\d.]+)", name) for name in evaluation.mean}
    return dict(sorted((float(match[1]), evaluation.mean[name]) for name, match in found.items() if match))


def picture_kind(evaluation: Evaluation) -> str:
    """What the predictions are: "objects", "classes" or "image"."""
    if thresholds(evaluation):
        return "objects"
    return "classes" if {"dice", "iou"} & set(evaluation.mean) else "image"


def count(number: int, thing: str) -> str:
    """A number with its noun, in the plural where it needs one: 24 images."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
