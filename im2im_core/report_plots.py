"""The plots of a report, as PNG. matplotlib's object interface only: no global state, no display."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from im2im_core.evaluation_record import Evaluation
from im2im_core.report_run import Curve
from im2im_core.report_words import COUNTS, describe, thresholds, write_figure

INK, MUTED, GRID = "#1f2933", "#66727f", "#e4e8ec"
MODEL, SECOND, BASELINE = "#0b7285", "#d9480f", "#8a949e"
LINES = (MODEL, SECOND, "#5f3dc4", "#2b8a3e", "#a61e4d", "#846358")
_TOTAL_LOSSES = ("train_loss", "train_loss_epoch", "train_loss_step", "val_loss", "val_loss_epoch")


def plot_losses(curves: Mapping[str, Curve]) -> bytes | None:
    """Training and validation loss; None when nothing was logged."""
    losses = {name: curve for name, curve in curves.items() if "loss" in name and _numbers(curve)}
    if not losses:
        return None
    figure, axes = _new_plot("loss", _over(losses))
    totals = {name: losses[name] for name in _TOTAL_LOSSES if name in losses}
    parts = {name: curve for name, curve in losses.items() if name not in totals}
    for name, curve in totals.items():
        _draw(axes, curve, describe(name), SECOND if name.startswith("val") else MODEL)
    for (name, curve), color in zip(parts.items(), LINES[2:] if totals else LINES, strict=False):
        _draw(axes, curve, describe(name), color, width=1.0 if totals else 1.8)
    values = [y for curve in losses.values() for y in curve.y if math.isfinite(y)]
    if min(values) > 0 and max(values) > 50 * min(values):
        axes.set_yscale("log")
    lost = sum(not math.isfinite(y) for curve in losses.values() for y in curve.y)
    if lost:
        axes.set_title(f"{lost} value(s) are no numbers and not drawn", fontsize=8, color=SECOND, loc="left")
    _legend(axes, len(totals) + len(parts))
    return _png(figure)


def plot_validation(curves: Mapping[str, Curve], primary: str = "", higher: bool = True) -> bytes | None:
    """Up to four validation figures, `primary` first with its best epoch; None when there are none."""
    names = validation_names(curves, primary)[:4]
    if not names:
        return None
    shown = {name: curves[name] for name in names}
    figure, axes = _new_plot(describe(names[0]) if len(names) == 1 else "validation figure", _over(shown))
    for (name, curve), color in zip(shown.items(), LINES, strict=False):
        _draw(axes, curve, describe(name), color)
    best = shown[names[0]].best(higher)
    if best:
        axes.plot(*best, "o", color=MODEL, markersize=7, markerfacecolor="white", markeredgewidth=1.8, zorder=5)
        offset = (0, 9) if higher else (0, -14)
        label = write_figure(best[1], names[0].removeprefix("val_"))
        axes.annotate(label, best, offset, textcoords="offset points", ha="center", fontsize=8.5, color=MODEL)
    _legend(axes, len(names))
    return _png(figure)


def validation_names(curves: Mapping[str, Curve], primary: str = "") -> list[str]:
    """Names of validation figures that fit on one axis, the most telling first."""
    names = [n for n in curves if n.startswith("val_") and "loss" not in n and n[4:] not in COUNTS]
    names = [name for name in names if _numbers(curves[name])]
    order = [f"val_{n}" for n in (primary, "ap@0.50", "mean_ap", "dice", "iou", "psnr", "ssim", "pearson")]
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    names = [n for n in names if n in order or not n.startswith("val_ap@")]
    if not names or any(abs(y) > 1.5 for y in _numbers(curves[names[0]])):
        return names[:1]
    return [name for name in names if all(abs(y) <= 1.5 for y in _numbers(curves[name]))]


def plot_thresholds(evaluation: Evaluation, baseline: Evaluation | None = None) -> bytes | None:
    """AP over the IoU threshold, with the baseline; None where there are no objects."""
    if len(thresholds(evaluation)) < 2:
        return None
    figure, axes = _new_plot("AP, averaged over images", "IoU threshold")
    lines = [(evaluation, MODEL, "-", "o"), (baseline, BASELINE, "--", "s")]
    for source, color, style, marker in lines:
        found = thresholds(source) if source else {}
        if source and found:
            label = source.method or ("baseline" if source is baseline else "prediction")
            axes.plot(*zip(*found.items(), strict=True), style, marker=marker, color=color, label=label, markersize=4.5)
    axes.set_ylim(0, 1.02)
    _legend(axes, 2 if baseline else 1, always=True)
    return _png(figure)


def plot_cases(evaluation: Evaluation, baseline: Evaluation | None = None) -> bytes | None:
    """One dot per image, from worst to best; with the baseline on the same images."""
    ranked = evaluation.ranked()[::-1]
    name = evaluation.primary
    if len(ranked) < 2:
        return None
    figure, axes = _new_plot(describe(name), "images, from worst to best")
    size = 4.5 if len(ranked) <= 80 else 2.5
    others = {case.stem: case.metrics.get(name) for case in baseline.cases} if baseline else {}
    places = [(x, others[case.stem]) for x, case in enumerate(ranked, 1) if others.get(case.stem) is not None]
    if baseline and places:
        label = baseline.method or "baseline"
        style = {"color": BASELINE, "markerfacecolor": "white", "markersize": size + 2.5}
        axes.plot(*zip(*places, strict=True), "s", label=label, **style)
    values = [case.metrics[name] for case in ranked]
    label = evaluation.method or "prediction"
    axes.plot(range(1, len(values) + 1), values, "o", color=MODEL, markersize=size, label=label)
    axes.axhline(evaluation.mean[name], color=MODEL, linewidth=0.9, linestyle=":", zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes, 2 if places else 1)
    return _png(figure)


def _numbers(curve: Curve) -> list[float]:
    return [y for y in curve.y if math.isfinite(y)]


def _over(curves: Mapping[str, Curve]) -> str:
    return "step" if all(curve.per_step for curve in curves.values()) else "epoch"


def _new_plot(y_label: str, x_label: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5.6, 3.3), dpi=190, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, fontsize=9, color=MUTED)
    axes.set_ylabel(y_label, fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b8c0c8")
    if x_label in ("epoch", "step"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)
    return figure, axes


def _draw(axes: Any, curve: Curve, label: str, color: str, width: float = 1.8) -> None:
    style = {"color": color, "linewidth": width, "markersize": 4}
    marker = "o" if len(curve.x) <= 12 else None  # a single epoch would be invisible as a line
    axes.plot(_points(curve.x), _points(curve.y), marker=marker, label=label, **style)


def _points(values: Sequence[float]) -> list[float]:
    return [value if math.isfinite(value) else math.nan for value in values]


def _legend(axes: Any, entries: int, *, always: bool = False) -> None:
    if entries > 1 or always:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
