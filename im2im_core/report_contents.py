"""The words and numbers of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from im2im_core.evaluation_record import Evaluation
from im2im_core.report_plots import validation_names
from im2im_core.report_run import RunRecord
from im2im_core.report_words import DASH, SET_FIGURES, count, describe, thresholds, write_duration, write_figure

_BESIDE_PRIMARY = ("mean_ap", "panoptic_quality", "iou", "dice", "pearson", "ssim", "psnr", "mae", *SET_FIGURES)


@dataclass(frozen=True, slots=True)
class Card:
    """A figure that is shown big."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A row of the table of figures."""

    label: str
    value: str
    baseline: str
    difference: str
    spread: str


def summary_cards(evaluation: Evaluation | None, baseline: Evaluation | None, run: RunRecord | None) -> list[Card]:
    """The figures that a reader wants first, at most five."""
    cards = []
    if evaluation is not None and evaluation.mean:
        names = [evaluation.primary, *(n for n in _BESIDE_PRIMARY if n in evaluation.mean and n != evaluation.primary)]
        cards += [_figure_card(name, evaluation, baseline) for name in names[:3] if name in evaluation.mean]
        objects = count(evaluation.objects, "object") if evaluation.objects is not None else ""
        if evaluation.cases or not evaluation.sets:
            cards.append(Card("Images judged", str(len(evaluation.cases)), objects))
        else:
            cards.append(Card("Images judged", str(evaluation.sets[0]), f"against {evaluation.sets[1]}, not in pairs"))
    elif run is not None:
        cards += _validation_cards(run)
    if run is not None:
        cards += _training_card(run)
    return cards


def metric_rows(evaluation: Evaluation, baseline: Evaluation | None) -> list[MetricRow]:
    """All figures; of the many AP thresholds only 0.50, 0.75 and the last, since they are plotted."""
    steps = list(thresholds(evaluation))
    shown = {f"ap@{step:.2f}" for step in (0.5, 0.75, *steps[-1:])}
    return [
        _metric_row(name, evaluation, baseline)
        for name in evaluation.mean
        if not (name.startswith("ap@") and name not in shown)
    ]


def version_rows(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run was made with, nested entries joined."""
    rows: list[tuple[str, str]] = []
    for key, value in environment.items():
        if key == "command":
            continue
        if isinstance(value, Mapping):
            rows += [(str(name), _one_line(inner)) for name, inner in value.items()]
        else:
            rows.append((str(key), _one_line(value)))
    return rows


def _one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(str(inner) for inner in value.values() if inner not in ("", None))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _figure_card(name: str, evaluation: Evaluation, baseline: Evaluation | None) -> Card:
    value = evaluation.mean[name]
    detail = ""
    if name == "mean_ap" and thresholds(evaluation):
        steps = list(thresholds(evaluation))
        detail = f"IoU {steps[0]:.2f} to {steps[-1]:.2f}"
    if baseline is not None and name in baseline.mean:
        other = baseline.mean[name]
        detail = f"baseline {write_figure(other, name)} ({write_figure(value - other, name, signed=True)})"
    return Card(describe(name), write_figure(value, name), detail)


def _validation_cards(run: RunRecord) -> list[Card]:
    cards = []
    for name in validation_names(run.curves)[:2]:
        best = run.curves[name].best(higher="mae" not in name)
        if best:
            cards.append(Card(f"{describe(name)}, validation", write_figure(best[1], name[4:]), f"epoch {best[0]:.0f}"))
    return cards


def _training_card(run: RunRecord) -> list[Card]:
    seconds = run.training.get("seconds")
    details = [count(run.epochs, "epoch")] if run.epochs else []
    if isinstance(subjects := run.training.get("subjects"), int):
        details.append(f"{count(subjects, 'image')} to learn from")
    if isinstance(seconds, int | float):
        return [Card("Training", write_duration(seconds), ", ".join(details))]
    return [Card("Training", details[0], ", ".join(details[1:]))] if details else []


def _metric_row(name: str, evaluation: Evaluation, baseline: Evaluation | None) -> MetricRow:
    values = [case.metrics[name] for case in evaluation.cases if name in case.metrics]
    mean, other = evaluation.mean[name], baseline.mean.get(name) if baseline is not None else None
    return MetricRow(
        describe(name),
        write_figure(mean, name),
        write_figure(other, name),
        write_figure(mean - other, name, signed=True) if other is not None else DASH,
        f"{write_figure(min(values), name)} … {write_figure(max(values), name)}" if values else DASH,
    )
