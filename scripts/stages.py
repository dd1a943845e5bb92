"""Runs public commands in sequence and prints each; a stage whose result exists is skipped."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
EXPNET = str(Path(sys.executable).with_name("expnet"))


@dataclass(frozen=True)
class Stage:
    """One command, and the file that exists when it is done."""

    title: str
    command: list[str]
    result: Path


def script(name: str, config: str, *overrides: str) -> list[str]:
    """The command of train.py or evaluate.py with a configuration and overrides."""
    return [sys.executable, str(REPOSITORY / name), str(REPOSITORY / "configs" / config), *overrides]


def resume(run: Path) -> list[str]:
    """The override that resumes an interrupted training; empty if it has not started."""
    return ["ckpt=last"] if (run / "checkpoints" / "last.ckpt").is_file() else []


def run_stages(todo: list[Stage]) -> int:
    """Run the stages, print the time of each, and return the exit code of the first that fails, or 0."""
    started = time.monotonic()
    for number, stage in enumerate(todo, 1):
        print(f"\n[{number}/{len(todo)}] {stage.title}", flush=True)
        if stage.result.exists():
            print(f"    already there: {stage.result}", flush=True)
            continue
        print(f"    $ {shlex.join(stage.command)}", flush=True)
        before = time.monotonic()
        code = subprocess.run(stage.command, check=False).returncode  # noqa: S603
        if code:
            print(f"Stopped: '{stage.title}' ended with exit code {code}.", file=sys.stderr)
            return code
        print(f"    {time.monotonic() - before:.0f} s", flush=True)
    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} minutes.")
    return 0
