"""`im2im report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from im2im_core.evaluation import Evaluation
    from im2im_core.interfaces import ReadImage
    from im2im_core.registry import Registry

BASELINE = "baseline.json"


def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or the folder of an evaluation.")],
    run: Annotated[
        Path | None, typer.Option("--run", help="Run to add to an evaluation: curves, settings.", show_default=False)
    ] = None,
) -> None:
    """Write report.html and report.md again from what a folder holds."""
    from im2im_core.cli.console import console
    from im2im_core.errors import DataError
    from im2im_core.evaluation import Evaluation
    from im2im_core.formats import image_loader
    from im2im_core.registry import Registry

    registry = Registry.discover()
    stored = folder / "evaluation.json"
    if (folder / "config.yaml").is_file() and not stored.is_file():
        page = report_run(registry, folder)
    elif stored.is_file():
        beside = folder / BASELINE
        page = write(
            folder,
            title="Evaluation",
            evaluation=Evaluation.from_json(stored.read_text(encoding="utf-8")),
            baseline=Evaluation.from_json(beside.read_text(encoding="utf-8")) if beside.is_file() else None,
            run_dir=run,
            load=image_loader(registry),
        )
    else:
        raise DataError(
            f"'{folder}' is neither a run nor an evaluation", "name a folder that holds config.yaml or evaluation.json"
        )
    console().print(f"report: {page}", highlight=False)


def report_run(registry: Registry, run_dir: Path) -> Path:
    """The report of a training, before anything was evaluated."""
    from im2im_core.formats import image_loader

    return write(
        run_dir,
        title=f"Run {run_dir.name}",
        evaluation=None,
        baseline=None,
        run_dir=run_dir,
        load=image_loader(registry),
    )


def write(
    folder: Path,
    *,
    title: str,
    evaluation: Evaluation | None,
    baseline: Evaluation | None,
    run_dir: Path | None,
    load: ReadImage,
) -> Path:
    """Write the pages into `folder`."""
    from im2im_core.report import write_report

    return write_report(folder, title=title, evaluation=evaluation, baseline=baseline, run_dir=run_dir, load=load)
