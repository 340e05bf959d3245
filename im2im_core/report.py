"""A run and an evaluation -> a report that one can send to a colleague: one HTML file, and Markdown with pictures."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from im2im_core.errors import DataError, Im2imError
from im2im_core.evaluation_record import Case, Evaluation
from im2im_core.files import write_beside, write_text
from im2im_core.interfaces import ReadImage
from im2im_core.report_contents import metric_rows, summary_cards, version_rows
from im2im_core.report_pages import Picture, html_page, markdown_page
from im2im_core.report_pictures import Panel, case_panels
from im2im_core.report_plots import plot_cases, plot_losses, plot_thresholds, plot_validation
from im2im_core.report_run import RunRecord, read_run
from im2im_core.report_words import count, describe, picture_kind, write_figure

logger = logging.getLogger(__name__)

PICTURE_FOLDER = "report_files"
LISTED_CASES = 200


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case as the report shows it: its name, its figure, its pictures or the reason why there are none."""

    stem: str
    figure: str
    pictures: tuple[tuple[Picture, Panel], ...]
    remark: str = ""


def write_report(
    out_dir: Path,
    *,
    title: str,
    evaluation: Evaluation | None = None,
    baseline: Evaluation | None = None,
    run_dir: Path | None = None,
    load: ReadImage,
    n_cases: int = 3,
) -> Path:
    """Write `report.html` (complete in itself), `report.md` and its pictures in `report_files/`.

    Args:
        out_dir: where to write.
        title: heading.
        evaluation: what to report on; None if nothing was evaluated yet.
        baseline: another method on the same images, to be shown beside it.
        run_dir: the folder of the training.
        load: opens a file.
        n_cases: how many of the best and of the worst cases to show.

    Returns:
        The HTML file.

    Raises:
        DataError: there is neither an evaluation nor a run.
        OutputError: the folder cannot be written.
    """
    if evaluation is None and run_dir is None:
        raise DataError("there is nothing to report on", "name the folder of a run, or evaluate predictions first")
    run = read_run(run_dir) if run_dir is not None else None
    content = _facts(title, evaluation, baseline, run)
    content["training_plots"] = _training_plots(run, evaluation)
    content["previews"] = _previews(run)
    content["result_plots"] = _result_plots(evaluation, baseline)
    content["case_groups"] = _case_groups(evaluation, load, n_cases)
    pictures = [*content["training_plots"], *content["previews"], *content["result_plots"]]
    pictures += [p for _, views in content["case_groups"] for view in views for p, _ in view.pictures]
    if pictures:
        with write_beside(out_dir / PICTURE_FOLDER) as folder:
            folder.mkdir()
            for picture in pictures:
                (folder / picture.name).write_bytes(picture.png)
    write_text(out_dir / "report.md", markdown_page(content, PICTURE_FOLDER))
    write_text(out_dir / "report.html", html_page(content))
    return out_dir / "report.html"


def _facts(
    title: str, evaluation: Evaluation | None, baseline: Evaluation | None, run: RunRecord | None
) -> dict[str, Any]:
    """Everything but the pictures."""
    ranked = evaluation.ranked() if evaluation else []
    names = [n for n in (ranked[0].metrics if ranked else ()) if not n.startswith("ap@") or n == "ap@0.50"]
    rows = [(case.stem, [write_figure(case.metrics.get(name), name) for name in names]) for case in ranked]
    return {
        "title": title,
        "date": f"{datetime.now():%d %B %Y, %H:%M}",
        "cards": summary_cards(evaluation, baseline, run),
        "evaluation": evaluation,
        "basis": _basis(evaluation) if evaluation else "",
        "method": (evaluation.method if evaluation else "") or "prediction",
        "baseline": baseline,
        "baseline_method": (baseline.method if baseline else "") or "baseline",
        "comparable": _comparable(evaluation, baseline),
        "metric_rows": metric_rows(evaluation, baseline) if evaluation and evaluation.mean else [],
        "case_columns": [describe(name) for name in names],
        "case_rows": rows[:LISTED_CASES],
        "cases_left_out": max(0, len(rows) - LISTED_CASES),
        "run": run,
        "command": run.command if run else "",
        "settings": run.settings.strip() if run else "",
        "versions": version_rows(run.environment) if run else [],
    }


def _basis(evaluation: Evaluation) -> str:
    """Over how much the figures are averaged."""
    if not evaluation.cases and evaluation.sets:
        return f"of {count(evaluation.sets[0], 'prediction')} against {count(evaluation.sets[1], 'target')}"
    objects = f" with {count(evaluation.objects, 'object')}" if evaluation.objects is not None else ""
    how = "over all" if evaluation.over_set else "averaged over"
    return f"{how} {count(len(evaluation.cases), 'image')}{objects}"


def _comparable(evaluation: Evaluation | None, baseline: Evaluation | None) -> bool:
    """Whether both were judged on the same images."""
    if evaluation is None or baseline is None:
        return True
    return {case.stem for case in evaluation.cases} == {case.stem for case in baseline.cases}


def _training_plots(run: RunRecord | None, evaluation: Evaluation | None) -> list[Picture]:
    if run is None:
        return []
    primary = evaluation.primary if evaluation else ""
    higher = evaluation.higher_is_better if evaluation else True
    plots = (
        ("loss.png", plot_losses(run.curves), "Loss over the training"),
        ("validation.png", plot_validation(run.curves, primary, higher), "Validation figures over the training"),
    )
    return [Picture(name, png, caption) for name, png, caption in plots if png is not None]


def _previews(run: RunRecord | None) -> list[Picture]:
    """The first, the middle and the last, as far as they are pictures."""
    found = run.previews if run else ()
    chosen = sorted({0, len(found) // 2, len(found) - 1}) if found else []
    pictures = []
    for epoch, path in (found[index] for index in chosen):
        content = path.read_bytes()
        if content.startswith(b"\x89PNG"):
            pictures.append(Picture(path.name, content, f"Epoch {epoch}: image, what the model made of it, target"))
    return pictures


def _result_plots(evaluation: Evaluation | None, baseline: Evaluation | None) -> list[Picture]:
    if evaluation is None:
        return []
    plots = (
        ("thresholds.png", plot_thresholds(evaluation, baseline), "AP over the IoU threshold, averaged over images"),
        ("images.png", plot_cases(evaluation, baseline), f"{describe(evaluation.primary)} of each image"),
    )
    return [Picture(name, png, caption) for name, png, caption in plots if png is not None]


def _case_groups(evaluation: Evaluation | None, load: ReadImage, n_cases: int) -> list[tuple[str, list[CaseView]]]:
    """Best and worst cases, none of them twice; all in one group when they are few."""
    if evaluation is None or n_cases < 1:
        return []
    ranked = [case for case in evaluation.ranked() if case.prediction_path is not None]
    if not ranked:
        return []
    if len(ranked) <= n_cases:
        groups = [("All images, best first", ranked)]
    else:
        worst = ranked[n_cases:][-n_cases:][::-1]
        groups = [("Worst", worst), ("Best", ranked[:n_cases])]
    kind = picture_kind(evaluation)
    shown = []
    for heading, cases in groups:
        name = heading.split()[0].lower()
        shown.append((heading, [_view(f"{name}-{i}", case, evaluation, load, kind) for i, case in enumerate(cases, 1)]))
    return shown


def _view(name: str, case: Case, evaluation: Evaluation, load: ReadImage, kind: str) -> CaseView:
    figure = f"{describe(evaluation.primary)}: {write_figure(case.metrics[evaluation.primary], evaluation.primary)}"
    try:
        panels, where = case_panels(case, load, kind)
    except Exception as error:  # as in an evaluation: a file that has gone bad must not cost the report
        logger.debug("no pictures of %s", case.stem, exc_info=True)
        reason = error.message if isinstance(error, Im2imError) else f"{type(error).__name__}: {error}"
        return CaseView(case.stem, figure, (), f"no pictures: {reason}")
    pictures = [
        (Picture(f"{name}-{number}.png", panel.png, f"{panel.caption} of {case.stem}"), panel)
        for number, panel in enumerate(panels, 1)
    ]
    return CaseView(case.stem, figure, tuple(pictures), where)
