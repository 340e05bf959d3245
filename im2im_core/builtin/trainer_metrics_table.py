"""`metrics.csv`: one table for the whole training, however often it was interrupted."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

from im2im_core.files import write_beside


class MetricsTable(Logger):  # type: ignore[misc]
    """Appends one row per logging: `epoch` and `step` (both from 0), then every figure; what a row lacks is empty.

    Lightning's own CSVLogger makes a sub-folder per run and deletes an existing table.

    Args:
        path: the file.
        before_step: rows of an earlier part of the training from this step on are dropped, since they come again.
    """

    def __init__(self, path: Path, before_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._before_step = before_step
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.path.stem

    @property
    def version(self) -> str:
        """There is only one."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only  # type: ignore[misc]
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: `config.yaml` has all settings."""

    @rank_zero_only  # type: ignore[misc]
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row at once, so that a killed training has its table."""
        row = {"epoch": "", "step": "" if step is None else step, **metrics}
        if isinstance(row["epoch"], float):
            row["epoch"] = int(row["epoch"])
        if self._columns is None:
            self._columns = self._continue_table()
        new = [name for name in row if name not in self._columns]
        if new:
            rows = self._rows()
            self._columns += new
            self._write(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _continue_table(self) -> list[str]:
        """Columns of the table so far, after dropping what comes again; the last row may be cut by a kill."""
        limit = self._before_step
        rows = self._rows() if limit is not None else []
        if limit is None or not rows:
            self.path.unlink(missing_ok=True)
            return []
        self._columns = list(rows[0])
        self._write([row for row in rows if (row["step"] or "").isdecimal() and int(row["step"]) < limit])
        return self._columns

    def _write(self, rows: list[dict[str, str]]) -> None:
        assert self._columns is not None
        with write_beside(self.path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows({name: row.get(name, "") for name in self._columns} for row in rows)
