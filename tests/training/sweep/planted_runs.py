"""Trainings that only write the files of a run, so that a sweep of many takes seconds."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from expnet.training.child_runs import ChildRun

TRAIN = """
import signal, sys, time
from pathlib import Path
values = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
folder, lr = Path(values["output"]), float(values["optim.lr"])
seconds, code = float(values["optim.weight_decay"]), int(values.get("seed", "0"))
name = values.get("trainer.monitor", "val/within_clip_r2")
table = folder / "metrics.csv"
with open(folder.parents[1] / "events.txt", "a") as events: events.write(f"start {folder.name}\\n")
first = len(table.read_text().splitlines()) - 1 if table.is_file() else 0
if not first: table.write_text(f"step,epoch,{name}\\n")
def leave(*_): sys.exit(143)
signal.signal(signal.SIGTERM, leave)
for step in range(first, 4):
    time.sleep(seconds)
    with open(table, "a") as file: file.write(f"{step},0,{0.5 - abs(lr - 0.01) * (1 + step) * 10}\\n")
    if code == 9 and step == 1:
        (folder / "failure").mkdir(exist_ok=True)
        (folder / "failure" / "step_000001.safetensors").write_text("")
        print("expnet: The loss became nan at step 1"); sys.exit(1)
    if code in (1, 2) and step == 1: print("expnet: these are the last words"); sys.exit(code)
(folder / "model.safetensors").write_text("")
with open(folder.parents[1] / "events.txt", "a") as events: events.write(f"end {folder.name}\\n")
"""
"""Takes the time of a step from optim.weight_decay and the way it ends from seed: 9 for a NaN loss, 1 or 2 for an exit
code. The score is best at optim.lr=0.01, and the first one of a run is its best."""


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run of a sweep be such a training."""
    command = property(lambda run: [sys.executable, "-c", TRAIN, *run.layers])
    monkeypatch.setattr(ChildRun, "command", command)


def events(folder: Path) -> list[str]:
    """What the trainings of a sweep have done, in order."""
    path = folder / "events.txt"
    return path.read_text().splitlines() if path.is_file() else []


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)
