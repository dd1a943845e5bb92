"""scripts/stages.py and scripts/make_weights.py: commands run in order, and none twice."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module(name)


def test_stages_run_in_order_and_finished_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stages = script("stages", monkeypatch)

    def stage(name: str, code: str) -> object:
        return stages.Stage(name, [sys.executable, "-c", code], tmp_path / name)

    (tmp_path / "first").touch()
    todo = [
        stage("first", "print('again')"),
        stage("second", "print('runs')"),
        stage("third", "raise SystemExit(3)"),
        stage("fourth", "print('too late')"),
    ]
    assert stages.run_stages(todo) == 3
    printed = capfd.readouterr()
    assert "already there" in printed.out
    lines = printed.out.splitlines()
    assert "runs" in lines
    assert "again" not in lines
    assert "too late" not in lines
    assert "'third' ended with exit code 3" in printed.err


def test_a_training_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = script("make_weights", monkeypatch)
    run = tmp_path / "expression"
    command = make.train("expression", "expression.yaml", [tmp_path], tmp_path).command
    assert f"output={run}" in command
    assert "ckpt=last" not in command
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    assert "ckpt=last" in make.train("expression", "expression.yaml", [tmp_path], tmp_path).command


def test_a_store_is_used_as_it_is_and_videos_are_tracked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = script("make_weights", monkeypatch)
    store, videos = tmp_path / "store", tmp_path / "videos"
    for folder in (store, videos):
        folder.mkdir()
    (store / "manifest.parquet").touch()
    assert make.track_store(store, tmp_path) == store
    assert make.preprocess(store, tmp_path, None).result.exists()
    tracked = make.preprocess(videos, tmp_path, None)
    assert not tracked.result.exists()
    assert tracked.command[-2:] == ["--workers", "2"]
