"""Sweeps whose values Optuna proposes, with trainings that only write the files of a run."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
from planted_runs import events, plant

from expnet.cli import main
from expnet.training.sweep.main import main as sweep

SWEEP = """
train: [configs/expression.yaml, data.store=tracks, optim.weight_decay=0.01]
output: sweep
space:
  optim.lr: {low: 1e-3, high: 0.1, log: true}
  model.layers: {low: 2, high: 4}
  model.attention_bias: [alibi, none]
sampler: tpe
trials: 6
"""


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    Path("sweep.yaml").write_text(SWEEP)


def table() -> list[dict[str, str]]:
    with open("sweep/trials.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values() -> list[tuple[str, ...]]:
    return [tuple(row[key] for key in ("optim.lr", "model.layers", "model.attention_bias")) for row in table()]


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_values_lie_in_their_ranges_and_repeat(sampler: str) -> None:
    assert sweep(["sweep.yaml", f"sampler={sampler}"]) == 0
    assert [row["run"] for row in table()] == [f"trial-{number}" for number in range(6)]
    for lr, layers, bias in values():
        assert 1e-3 <= float(lr) <= 0.1
        assert layers in ("2", "3", "4")
        assert bias in ("alibi", "none")
    assert len(set(values())) > 3
    first = values()
    assert sweep(["sweep.yaml", f"sampler={sampler}", "output=again"]) == 0
    Path("again").rename(Path("sweep").rename("before").with_name("sweep"))
    assert values() == first


def test_optuna_learns() -> None:
    """The score is best at optim.lr=0.01: later runs are nearer to it than the first, random ones."""
    assert sweep(["sweep.yaml", "trials=30", "jobs=2", "optim.weight_decay=0"]) == 0
    distances = [abs(float(lr) - 0.01) for lr, *_ in values()]
    assert sum(distances[20:]) / 10 < 0.6 * sum(distances[:10]) / 10


def test_a_sweep_gets_more_trials() -> None:
    assert sweep(["sweep.yaml", "trials=3"]) == 0
    first = values()
    assert sweep(["sweep.yaml", "trials=5"]) == 0
    assert values()[:3] == first
    assert len(values()) == 5
    assert len(events(Path("sweep"))) == 10


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_runs_that_fall_behind_are_stopped(pruner: str) -> None:
    given = ["sweep.yaml", f"pruner={pruner}", "prune_startup=2", "trials=8", "optim.weight_decay=0.6", "jobs=4"]
    assert sweep(given) == 0
    pruned = [row for row in table() if row["state"] == "pruned"]
    assert 0 < len(pruned) < 7
    assert all(row["reason"].startswith("fell behind at step ") for row in pruned)
    best = max(table(), key=lambda row: float(row["val/within_clip_r2"]))
    assert best["state"] == "finished"
    ended = events(Path("sweep"))
    assert not {f"end {row['run']}" for row in pruned} & set(ended)
    assert sweep(given) == 0
    assert events(Path("sweep")) == ended


def test_a_stopped_run_goes_on_with_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from expnet.training.child_runs import ChildRun

    with monkeypatch.context() as patch:
        fails = [sys.executable, "-c", "print('the machine went away'); raise SystemExit(7)"]
        patch.setattr(ChildRun, "command", property(lambda run: fails))
        assert main(["sweep", "sweep.yaml"]) == 1
    stopped = values()
    assert len(stopped) == 3
    assert sweep(["sweep.yaml"]) == 0
    assert values()[:3] == stopped
    assert {row["state"] for row in table()} == {"finished"}


def test_values_that_do_not_go_together_are_a_failed_run() -> None:
    given = ["sweep.yaml", "space={model.width: [96, 90], model.heads: [3, 4, 2]}", "optim.lr=0.01", "trials=8"]
    Path("sweep.yaml").write_text(SWEEP.partition("space:")[0] + "sampler: random\n")
    assert sweep(given) == 0
    failed = [row for row in table() if row["state"] == "failed"]
    assert 0 < len(failed) < 8
    assert all("model.heads" in row["reason"] for row in failed)
    assert not {f"start {row['run']}" for row in failed} & set(events(Path("sweep")))


def test_without_optuna(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hidden: dict[str, Any] = {name: None for name in list(sys.modules) if name.partition(".")[0] == "optuna"}
    for name in {"optuna", *hidden}:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["sweep", "sweep.yaml"]) == 2
    assert "pip install 'expnet[sweep]'" in capsys.readouterr().err


def test_another_direction_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(["sweep.yaml", "trials=1"]) == 0
    assert main(["sweep", "sweep.yaml", "trials=2", "direction=minimize"]) == 2
    assert "has a sweep that is to maximize, not minimize" in capsys.readouterr().err
