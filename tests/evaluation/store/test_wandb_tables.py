"""Both evaluations log their table to Weights & Biases on request."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from expnet.evaluation.main import main


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def check_table(output: Path) -> None:
    """The logged table says what results.json says."""
    (path,) = output.glob("wandb/offline-run-*/files/media/table/benchmark_*.table.json")
    table = json.loads(path.read_text())
    systems = json.loads((output / "results.json").read_text())["systems"]
    assert len(table["data"]) == len(systems) > 1
    for values, system in zip(table["data"], systems.values(), strict=True):
        row = dict(zip(table["columns"], values, strict=True))
        assert row["system"] == system["title"]
        for key, metric in system["metrics"].items():
            assert (row[key], row[f"{key}_n"]) == (metric["mean"], metric["n"])


def test_networks(options: list[str], tmp_path: Path) -> None:
    few = ["per_frame=none", "pictures.clips=0", "protocol.resamples=50", "data.limit=2"]
    assert main([*options, *few, f"output={tmp_path / 'out'}", "logger.wandb=true"]) == 0
    check_table(tmp_path / "out")


def test_videos(videos: SimpleNamespace, tmp_path: Path) -> None:
    few = ["examples.clips=0", "protocol.resamples=50", "trainer.threads=1", "metrics=[pose_diversity]", "limit=2"]
    folders = [f"reference={videos.reference}", f"systems.mute={videos.mute}", f"output={tmp_path / 'out'}"]
    assert main([*folders, *few, "logger.wandb=true", "logger.project=test"]) == 0
    check_table(tmp_path / "out")
