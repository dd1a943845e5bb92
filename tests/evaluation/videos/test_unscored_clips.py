"""A clip that some metrics cannot score is a row with its reason, and costs nobody else a score."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from expnet.evaluation.main import main

QUICK = ["examples.clips=0", "protocol.resamples=100", "trainer.devices=1"]


def test_no_face_in_one_video_and_no_sound_in_a_real_one(
    videos: SimpleNamespace, talking: dict, tmp_path: Path, write_folder: Callable[..., Path]
) -> None:
    frames, sound = talking["two"]
    real = write_folder(tmp_path / "real", {"anna/one": talking["anna/one"], "two": (frames, None)})
    grey = [np.full((192, 192, 3), 90, np.uint8)] * 28
    ours = write_folder(tmp_path / "ours", {"anna/one": talking["anna/one"], "two": (grey, sound)})
    metrics = "metrics=[mouth_opening_lag,audio_mouth_lag,pose_diversity]"
    assert main([*QUICK, f"reference={real}", f"systems.ours={ours}", f"output={tmp_path / 'out'}", metrics]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    for system in ("ours", "ground_truth"):
        summary = found["systems"][system]["metrics"]["audio_mouth_lag"]
        assert (summary["n"], summary["unscored"]) == (1, 1)
    assert found["systems"]["ours"]["metrics"]["mouth_opening_lag"]["mean"] == 0.0
    reasons = {(row["system"], row["clip_id"]): row["reason"] for row in found["clips"]}
    assert "audio_mouth_lag: no face found" in reasons["ours", "two"]
    assert "audio_mouth_lag: no audio" in reasons["ground_truth", "two"]
