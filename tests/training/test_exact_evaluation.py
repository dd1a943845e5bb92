"""A validation gives the same scores on any number of processes, from a checkpoint, and in evaluate.py."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from killable import finish, log_of, start, validate
from small import arguments, rows_of

from expnet.evaluation.main import main as evaluate

N_OF = {
    "val/within_clip_r2": "val/clips",
    "val/mouth_opening_correlation": "val/clips",
    "val/jitter_ratio": "val/clips",
    "val/active_units": "val/windows",
    "val/landmark_distance": "val/landmark_distance_clips",
    "val/landmark_distance_mouth": "val/landmark_distance_mouth_clips",
}
"""The column that holds the n of each score; the n of a loss is the number of frames."""
COUNTS = {*N_OF.values(), "val/frames"}


def validations(run: Path) -> list[dict[str, float]]:
    """The rows of validations, by name without ``val/``."""
    rows = [row for row in rows_of(run) if row["val/loss"]]
    return [{name[4:]: float(value) for name, value in row.items() if name[:4] == "val/" and value} for row in rows]


@pytest.mark.parametrize("task", ["expression", "pose", "motion"])
def test_any_number_of_processes_scores_a_checkpoint_alike(
    task: str, store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    """Three clips of unequal length on two processes, and on four, of which one has none; no clip is repeated."""
    run = whole(task, "data.workers=0")
    rendered = ("metrics.landmark_distance=true", "metrics.clips=3", "metrics.frames=4")
    given = arguments(task, store, f"ckpt={run / 'checkpoints' / 'last.ckpt'}", *rendered)
    for processes in (1, 2, 4):
        folder = tmp_path / str(processes)
        assert finish(start(given, folder, processes=processes, job=validate)) == [0] * processes, log_of(folder)
    alone, two, four = (json.loads((tmp_path / name / "scores.json").read_text()) for name in "124")
    assert set(alone) == set(two) == set(four)
    for name, value in alone.items():
        assert value == pytest.approx(two[name], rel=1e-6, abs=1e-9), name
        assert value == pytest.approx(four[name], rel=1e-6, abs=1e-9), name

    # The same numbers as those that the run logged when it saved the checkpoint.
    logged = validations(run)[-1]
    assert {"val/landmark_distance", "val/landmark_distance_mouth"} < set(alone) - {f"val/{name}" for name in logged}
    for name, value in logged.items():
        assert alone[f"val/{name}"] == pytest.approx(value, rel=1e-6, abs=1e-9), name

    # Each score states the number of frames, windows or clips behind it.
    assert (
        alone["val/frames"] == {"expression": 120 + 130 + 140, "pose": 119 + 129 + 139, "motion": 120 + 130 + 140}[task]
    )
    for name in set(alone) - set(COUNTS):
        assert alone[N_OF.get(name, "val/frames")] >= 3, name


def test_the_evaluation_gives_the_numbers_of_the_last_validation(
    store: Path, tmp_path: Path, whole: Callable[..., Path]
) -> None:
    run = whole("expression", "data.workers=0")
    arguments = [f"data.store={store}", "data.split=validation", f"expression={run / 'checkpoints' / 'last.ckpt'}"]
    quick = ["per_frame=none", "baselines.ridge=false", "pictures.clips=0", "protocol.resamples=100"]
    assert evaluate([*arguments, *quick, f"output={tmp_path / 'results'}"]) == 0
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    scores = results["systems"]["ours"]["metrics"]
    logged = validations(run)[-1]
    for name in ("within_clip_r2", "mouth_opening_correlation"):
        assert scores[name]["n"] == logged["clips"] == 3
        assert scores[name]["mean"] == pytest.approx(logged[name], rel=1e-5), name
