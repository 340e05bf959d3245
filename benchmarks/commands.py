"""What benchmarks that train have in common: the command, and the figures of its results. Standard library only."""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any


def im2im(*words: Any) -> None:
    """Run the command that lies beside this Python."""
    subprocess.run([Path(sys.executable).parent / "im2im", *(str(word) for word in words)], check=True)


def mean_figures(labels: Path, holdout: Path) -> dict[str, float]:
    """AP at each threshold and their mean, averaged over the images; leaves a report beside the labels."""
    report = labels.with_name("report")
    im2im("evaluate", labels, holdout, "--metric", "average-precision", "--no-baseline", "--out", report)
    with (report / "evaluation.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {
        name: statistics.mean(float(row[name]) for row in rows) for name in rows[0] if name.startswith(("ap", "mean"))
    }
