"""What an evaluation found: figures of each image and their means, as dataclasses, JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from im2im_core.errors import DataError
from im2im_core.files import write_beside, write_text

NOTE = "Figures are averaged over images."
AP_NOTE = " AP at an IoU threshold is TP / (TP + FP + FN) of each image."


@dataclass(frozen=True, slots=True)
class Case:
    """One image's figures.

    Attributes:
        stem: what the image is called.
        metrics: figure by name.
        prediction_path: the file that was judged; None when the prediction was computed on the fly.
        target_path: what it was compared with.
        image_path: what it was predicted from, if known.
    """

    stem: str
    metrics: Mapping[str, float]
    prediction_path: Path | None
    target_path: Path
    image_path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good predictions are.

    Attributes:
        cases: the images that could be judged.
        mean: figure by name, averaged over those images that have it.
        metrics: names of the metrics that were computed.
        primary: the figure that ranks the cases; empty when there is none.
        higher_is_better: which way `primary` is good.
        objects: number of target objects in all cases; None when no metric counts objects.
        predicted_objects: number of predicted objects in all cases; None when no metric counts objects.
        method: what made the predictions, as a report should name it.
        unmatched_predictions: files that belong to no target.
        unmatched_targets: targets without a prediction.
        errors: what is wrong, by file.
        note: how to read the figures.
        sets: numbers of predictions and of targets, where figures of both as a whole are among `mean`; else None.
        over_set: the figures in `mean` are of all images together, and no averages over them.
    """

    cases: tuple[Case, ...] = ()
    mean: Mapping[str, float] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    primary: str = ""
    higher_is_better: bool = True
    objects: int | None = None
    predicted_objects: int | None = None
    method: str = ""
    unmatched_predictions: tuple[Path, ...] = ()
    unmatched_targets: tuple[Path, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    note: str = NOTE
    over_set: bool = False
    sets: tuple[int, int] | None = None

    @property
    def complete(self) -> bool:
        """Every prediction had its target, every target its prediction, and every file could be used."""
        return not (self.errors or self.unmatched_predictions or self.unmatched_targets)

    def ranked(self) -> list[Case]:
        """Cases from best to worst by `primary`."""
        sign = -1 if self.higher_is_better else 1
        return sorted(
            (c for c in self.cases if self.primary in c.metrics), key=lambda c: sign * c.metrics[self.primary]
        )

    def to_json(self) -> str:
        """Everything, as the text of a JSON file."""
        content = {
            "method": self.method,
            "metrics": list(self.metrics),
            "primary": self.primary,
            "higher_is_better": self.higher_is_better,
            "images": len(self.cases),
            "objects": self.objects,
            "predicted_objects": self.predicted_objects,
            "note": self.note,
            "over_set": self.over_set,
            "sets": self.sets,
            "mean": dict(self.mean),
            "cases": [_case_to_json(case) for case in self.cases],
            "unmatched_predictions": [str(path) for path in self.unmatched_predictions],
            "unmatched_targets": [str(path) for path in self.unmatched_targets],
            "errors": dict(self.errors),
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """The inverse of `to_json`.

        Raises:
            DataError: the text is no evaluation.
        """
        try:
            content = json.loads(text)
            return cls(
                cases=tuple(_case_from_json(case) for case in content["cases"]),
                mean={str(name): float(value) for name, value in content["mean"].items()},
                metrics=tuple(content["metrics"]),
                primary=str(content["primary"]),
                higher_is_better=bool(content["higher_is_better"]),
                objects=content["objects"],
                predicted_objects=content["predicted_objects"],
                method=str(content["method"]),
                unmatched_predictions=tuple(Path(path) for path in content["unmatched_predictions"]),
                unmatched_targets=tuple(Path(path) for path in content["unmatched_targets"]),
                errors={str(path): str(message) for path, message in content["errors"].items()},
                note=str(content["note"]),
                over_set=bool(content.get("over_set", False)),
                sets=_two(content.get("sets")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"this is no evaluation: {type(error).__name__} '{error}'", "evaluate again") from error


def write_evaluation(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write `evaluation.json` (everything) and `evaluation.csv` (one row per image) into a folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    as_json, as_csv = folder / "evaluation.json", folder / "evaluation.csv"
    write_text(as_json, evaluation.to_json())
    names = list(dict.fromkeys(name for case in evaluation.cases for name in case.metrics))
    with write_beside(as_csv) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", *names, "prediction_path", "target_path", "image_path"])
        for case in evaluation.cases:
            paths = (case.prediction_path, case.target_path, case.image_path)
            figures = [case.metrics.get(name, "") for name in names]
            table.writerow([case.stem, *figures, *("" if path is None else str(path) for path in paths)])
    return as_json, as_csv


def _two(numbers: Any) -> tuple[int, int] | None:
    return None if numbers is None else (int(numbers[0]), int(numbers[1]))


def _case_to_json(case: Case) -> dict[str, Any]:
    return {
        "stem": case.stem,
        "metrics": dict(case.metrics),
        "prediction_path": None if case.prediction_path is None else str(case.prediction_path),
        "target_path": str(case.target_path),
        "image_path": None if case.image_path is None else str(case.image_path),
    }


def _case_from_json(content: Mapping[str, Any]) -> Case:
    prediction, image = content["prediction_path"], content["image_path"]
    return Case(
        str(content["stem"]),
        {str(name): float(value) for name, value in content["metrics"].items()},
        None if prediction is None else Path(prediction),
        Path(content["target_path"]),
        None if image is None else Path(image),
    )
