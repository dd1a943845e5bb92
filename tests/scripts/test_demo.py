"""The demo's five commands, on a few clips and for a few steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"


@pytest.mark.slow
def test_the_main_job_runs_end_to_end_and_is_not_done_twice(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--quick", "--output", str(tmp_path / "demo")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    with av.open(str(tmp_path / "demo" / "talking.mp4")) as video:
        assert {stream.type for stream in video.streams} == {"video", "audio"}
        sound, picture = (float(s.duration * s.time_base) for s in (video.streams.audio[0], video.streams.video[0]))
    assert sound == pytest.approx(picture, abs=0.08)
    results = json.loads((tmp_path / "demo" / "results" / "results.json").read_text())
    assert {"ground_truth", "ours", "ridge", "hold_first_frame"} <= set(results["systems"])
    assert str(tmp_path / "demo" / "results" / "index.html") in result.stdout

    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.count("already there") == 5


def test_a_missing_folder_of_clips_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--output", str(tmp_path / "demo"), "--clips", str(tmp_path / "nowhere")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "nowhere" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "demo").exists()
