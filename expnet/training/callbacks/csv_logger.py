"""metrics.csv: one row per logging call, readable while the run continues and exact after a resume."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from expnet.io.atomic import atomic_path

FIRST_COLUMNS = ("step", "epoch")


class CsvLogger(Logger):
    """Append rows to one CSV file. A new column rewrites the file atomically.

    Args:
        path: The file.
        resume_step: Step at which a resumed run continues: rows of that step and later, left by the stopped run, are
            dropped. None starts a new file.
    """

    def __init__(self, path: str | Path, *, resume_step: int | None = None) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows: list[dict[str, Any]] = []
        self.columns: list[str] = list(FIRST_COLUMNS)
        if resume_step is not None and self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            # A last line without a newline was being written when the run was killed.
            reader = csv.DictReader(line for line in lines if line.endswith("\n"))
            self.rows = [row for row in reader if int(row["step"]) < resume_step]
            self.columns = list(reader.fieldnames or FIRST_COLUMNS)
        self._written = False

    @property
    def name(self) -> str:
        """Empty, since the run folder names the run."""
        return ""

    @property
    def version(self) -> str:
        """Empty, as the name."""
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> CsvLogger:
        """The logger itself, as Lightning's interface requires."""
        return self

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: config.yaml in the run folder holds the hyperparameters."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one row."""
        row = {"step": step or 0, **{key: float(value) for key, value in metrics.items()}}
        if "epoch" in row:
            row["epoch"] = int(row["epoch"])
        new = sorted(key for key in row if key not in self.columns)
        self.rows.append(row)
        if new or not self._written:
            self.columns += new
            self._rewrite()
            return
        size = self.path.stat().st_size
        try:
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        except OSError:
            os.truncate(self.path, size)  # half of a row may have fitted on a full disk
            raise

    def _rewrite(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        self._written = True
