"""The record of a run of a sweep: a file in its folder that says what it tries and how it ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from expnet.errors import InputError
from expnet.io.atomic import write_atomically
from expnet.io.machine_faults import writing_failed
from expnet.training.sweep.plan import Trial

State = Literal["running", "finished", "pruned", "failed"]
_NAME = "trial.json"


@dataclass
class Record:
    """What is known of a run.

    Attributes:
        name: Name of the run.
        values: What it tries, by key.
        state: ``running`` until it has ended; a command that repeats the sweep goes on with it.
        reason: Why it failed or was stopped early.
        final: Whether a run that failed would fail again, as one whose loss became NaN.
    """

    name: str
    values: dict[str, str]
    state: State = "running"
    reason: str = ""
    final: bool = False

    @property
    def ended(self) -> bool:
        """Whether the next command need not start the run again."""
        return self.final or self.state in ("finished", "pruned")

    def write(self, folder: Path) -> None:
        """Write the record into the run folder.

        Raises:
            ExpnetError: The folder cannot be written to.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / _NAME, json.dumps(asdict(self), indent=2) + "\n")
        except OSError as error:
            raise writing_failed(folder, error) from error


def read_record(trial: Trial) -> Record:
    """Return the record of a run; a new one if it was never started.

    Raises:
        InputError: The file is not a record.
    """
    path = trial.folder / _NAME
    if not path.is_file():
        return Record(trial.name, trial.values)
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        if record.state not in get_args(State):
            raise ValueError(record.state)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not the record of a run of a sweep; delete it to start the run again.") from error
    return record
