"""Every renderer at 256 and 512 pixels: frames/s, peak memory, and memory of a stream that is ten times as long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from speed_rows.measure import Row, Spread
from speed_rows.setting import Setting

BENCHMARKS = Path(__file__).resolve().parents[1]
LIVE = 25.0


def renderers(setting: Setting) -> Iterator[Row]:
    """Frames/s of each renderer compared with live video, then memory of long streams."""
    sides = (256,) if setting.quick else (256, 512)
    for renderer, frames in (("mesh", 200), ("sadtalker", 100 if torch.cuda.is_available() else 2)):
        for side in sides:
            yield _rate_row(renderer, side, frames, repeats=1 if setting.quick else 2)
    for renderer, side, frames in (("mesh", 256, 1000), ("sadtalker", 128, 50 if setting.quick else 300)):
        yield _memory_row(renderer, side, frames)


def _rate_row(renderer: str, side: int, frames: int, *, repeats: int) -> Row:
    clock = "wall" if torch.cuda.is_available() else "processor"
    runs = [_measure(renderer, side, frames) for _ in range(repeats)]
    rates = [run["frames"] / run[clock] for run in runs]
    peak = max(run["peak_megabytes"] for run in runs)
    opening = min(run["opening"] for run in runs)
    weights = ", random weights" if renderer == "sadtalker" else ""
    return Row(
        "renderers",
        f"{renderer} renderer, {side} pixels{weights}",
        "live, 25 frames/s",
        Spread.of(rates).median,
        LIVE,
        "frames/s",
        Spread.of([rate / LIVE for rate in rates]),
        1.0,
        clock,
        note=f"peak memory of the process {peak:.0f} MB, opened in {opening:.1f} s of processor time",
    )


def _memory_row(renderer: str, side: int, frames: int) -> Row:
    measured = _measure(renderer, side, frames, small=True)
    long, short = measured["peak_megabytes"], measured["peak_of_a_tenth"]
    networks = " with small networks" if renderer == "sadtalker" else ""
    return Row(
        "renderers",
        f"{renderer} renderer{networks}: memory of a stream of {frames} frames",
        f"the same process after {frames // 10} frames",
        long,
        short,
        "MB",
        Spread.of([long / short]),
        1.02,
        "peak",
        at_most=True,
    )


def _measure(renderer: str, side: int, frames: int, *, small: bool = False) -> dict[str, Any]:
    command = [sys.executable, "-m", "speed_rows.renderer_process", "--renderer", renderer, "--side", str(side)]
    command += ["--frames", str(frames), *(["--small"] if small else [])]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    done = subprocess.run(  # noqa: S603 - ourselves
        command, check=True, cwd=BENCHMARKS.parent, env=environment, capture_output=True, text=True
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured
