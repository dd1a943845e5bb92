"""Sweeps from the command line, with trainings that only write the files of a run."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from planted_runs import events, plant, wait_for

from expnet.cli import main
from expnet.errors import ExpnetError, InputError
from expnet.training.child_runs import ChildRun, locked_folder
from expnet.training.sweep.main import main as sweep
from expnet.training.sweep.main import multirun

GIVEN = ["configs/expression.yaml", "data.store=tracks", "output=sweep", "--multirun"]
FAST = [*GIVEN, "optim.weight_decay=0.01"]


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)


def table() -> list[dict[str, str]]:
    with open("sweep/trials.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_grid(capsys: pytest.CaptureFixture[str]) -> None:
    assert multirun([*FAST, "optim.lr=0.01,3e-2", "model.layers=2,4"]) == 0
    names = ["lr-0.01_layers-2", "lr-0.01_layers-4", "lr-0.03_layers-2", "lr-0.03_layers-4"]
    assert [row["run"] for row in table()] == names
    assert [float(row["val/within_clip_r2"]) for row in table()] == pytest.approx([0.5, 0.5, 0.3, 0.3])
    assert {row["state"] for row in table()} == {"finished"}
    assert [(row["optim.lr"], row["model.layers"]) for row in table()][3] == ("3e-2", "4")
    printed = capsys.readouterr().out
    assert "| lr-0.03_layers-4 | 3e-2 | 4 | 0.3 | 0 | finished |" in printed
    assert "Best: val/within_clip_r2 0.5 at step 0: sweep/runs/lr-0.01_layers-2" in printed
    # The same command does nothing, and another value is added.
    assert multirun([*FAST, "optim.lr=0.01,3e-2,0.02", "model.layers=2,4"]) == 0
    assert [line for line in events(Path("sweep")) if line.startswith("start")][4:] == [
        "start lr-0.02_layers-2",
        "start lr-0.02_layers-4",
    ]
    assert len(table()) == 6


def test_the_page_needs_no_network() -> None:
    assert multirun([*FAST, "optim.lr=0.01,3e-2", "model.attention_bias=alibi,none"]) == 0
    page = Path("sweep/index.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["']|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])  # type: ignore[index]
    assert [axis["name"] for axis in data["axes"]] == ["optim.lr", "model.attention_bias", "val/within_clip_r2"]
    assert [run["places"][:2] for run in data["runs"]] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert [run["quality"] for run in data["runs"]] == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_several_at_a_time() -> None:
    given = [*GIVEN, "optim.weight_decay=0.2", "optim.lr=0.01,0.02,0.03", "sweep.jobs=2"]
    assert multirun(given) == 0
    assert sorted(events(Path("sweep"))[:2]) == ["start lr-0.01", "start lr-0.02"]


def test_the_objective_chooses_the_best_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert multirun([*FAST, "optim.lr=0.01,0.03", "sweep.objective=val/lpips", "metrics.lpips=true"]) == 0
    assert [round(float(row["val/lpips"]), 6) for row in table()] == [0.5, -0.3]
    assert "Best: val/lpips -0.3 at step 3: sweep/runs/lr-0.03" in capsys.readouterr().out


def test_directions_are_those_of_the_metrics() -> None:
    from expnet import metrics
    from expnet.training.sweep.objective import _KNOWN

    kinds = [
        kind for kind in vars(metrics).values() if isinstance(kind, type) and issubclass(kind, metrics.NamedMetric)
    ]
    higher = {kind.name: kind.higher_is_better for kind in kinds if kind.name in _KNOWN}
    higher["lpips"] = metrics.LearnedPerceptualDistance.higher_is_better
    higher["mouth_opening_correlation"] = metrics.MouthOpeningCorrelation.higher_is_better
    higher["landmark_distance"] = metrics.LandmarkDistance.higher_is_better
    assert len(higher) == 7
    assert {name: "maximize" if better else "minimize" for name, better in higher.items()}.items() <= _KNOWN.items()


def test_a_bad_loss_is_a_result() -> None:
    """The sweep goes on, and the run is not repeated."""
    assert multirun([*FAST, "optim.lr=0.01", "seed=9,0,8"]) == 0
    assert [(row["run"], row["state"]) for row in table()] == [
        ("seed-9", "failed"),
        ("seed-0", "finished"),
        ("seed-8", "finished"),
    ]
    assert table()[0]["reason"] == "expnet: The loss became nan at step 1"
    assert multirun([*FAST, "optim.lr=0.01", "seed=9,0,8"]) == 0
    assert events(Path("sweep")).count("start seed-9") == 1


def test_another_failure_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["train", *FAST, "optim.lr=0.01", "seed=1,0"]
    assert main(given) == 1
    assert "1 runs have failed (seed-1); repeat the command" in capsys.readouterr().err
    assert main(given) == 0  # the second try of the planted training gets further
    assert {row["state"] for row in table()} == {"finished"}


def test_a_run_that_refuses_its_input_stops_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *FAST, "optim.lr=0.01", "seed=2,0"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "expnet: seed-2: these are the last words"
    assert "start seed-0" not in events(Path("sweep"))


def test_three_failures_in_a_row_stop_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ChildRun, "command", property(lambda run: [sys.executable, "-c", "print('no'); raise SystemExit(3)"])
    )
    with pytest.raises(ExpnetError, match="3 runs in a row have failed, the last one with: no"):
        multirun([*FAST, "optim.lr=0.01,0.02,0.03,0.04"])
    assert len(table()) == 3


def start_elsewhere(tmp_path: Path) -> subprocess.Popen[bytes]:
    """Start a sweep of two runs in another process, and return when the first of them has logged a score."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pytest; import planted_runs as p; "
        "from expnet.cli import main\n"
        "with pytest.MonkeyPatch.context() as patch: p.plant(patch); sys.exit(main(['train', *sys.argv[2:]]))"
    )
    given = [*GIVEN, "optim.weight_decay=0.3", "optim.lr=0.01,0.03"]
    process = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), *given])
    scores = tmp_path / "sweep" / "runs" / "lr-0.01" / "metrics.csv"
    wait_for(lambda: scores.is_file() and len(scores.read_text().splitlines()) > 1)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_sweep_goes_on(number: signal.Signals, tmp_path: Path) -> None:
    process = start_elsewhere(tmp_path)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    process.wait(30)
    if number == signal.SIGKILL:
        with pytest.raises(InputError, match="is at work in"), locked_folder(Path("sweep"), "expnet sweep"):
            pass
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    before = events(tmp_path / "sweep")
    assert before == ["start lr-0.01"]
    assert multirun([*GIVEN, "optim.weight_decay=0.3", "optim.lr=0.01,0.03"]) == 0
    assert events(tmp_path / "sweep")[1:] == ["start lr-0.01", "end lr-0.01", "start lr-0.03", "end lr-0.03"]
    assert len(Path("sweep/runs/lr-0.01/metrics.csv").read_text().splitlines()) == 5  # it went on where it was


SWEEP = """
train: [configs/expression.yaml, data.store=tracks, optim.weight_decay=0.01]
output: sweep
space:
  optim.lr: [0.01, 0.03]
"""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train", *GIVEN], "--multirun needs several values of a key"),
        (["train", *GIVEN, "optim.lr=1e-3,1e-3"], "optim.lr is to be 1e-3 twice"),
        (["train", *GIVEN, "optim.lr=1e-3,0.001"], "optim.lr=1e-3 and optim.lr=0.001 are the same values"),
        (["train", *GIVEN, "optim.lr=1e-3,-1"], "optim.lr must be above 0, not -1.0"),
        (["train", *GIVEN, "optim.learning_rate=1,2"], "learning_rate"),
        (["train", *GIVEN, "optim.lr=1,2", "ckpt=last"], "ckpt differs between the runs"),
        (["train", *GIVEN, "optim.lr=1,2", "sweep.job=2"], "sweep.job is no key of a sweep"),
        (["train", *GIVEN, "optim.lr=1,2", "sweep.jobs=0"], "jobs must be 1 or more"),
        (["train", *GIVEN, "optim.lr=1,2", "sweep.objective=val/sync_offset"], "set direction=minimize or"),
        (["train", *GIVEN, "task=pose,expression"], "task cannot be tried"),
        (["train", "configs/expression.yaml", "--multirun", "optim.lr=1,2"], "data.store is missing"),
        (["sweep", "output=sweep", "train=[configs/pose.yaml]"], "space is missing"),
        (["sweep", "sweep.yaml", "space={optim.ema: 3}"], "must be a list of values"),
        (
            ["sweep", "sweep.yaml", "space={optim.ema: {low: 0, high: .5}}"],
            "A grid needs a list of values for optim.ema",
        ),
        (["sweep", "sweep.yaml", "sampler=tpe", "space={model.layers: {low: 1, high: 2.5}}"], "is a whole number"),
        (["sweep", "sweep.yaml", "pruner=median"], "needs one of Optuna's samplers"),
        (["sweep", "sweep.yaml", "sampler=anneal"], "sampler"),
        (["sweep", "sweep.yaml", "slurm.minutes=0"], "slurm.minutes must be 1 or more"),
        (["sweep", "gone.yaml"], "There is no configuration file gone.yaml"),
    ],
)
def test_bad_input_is_one_sentence(given: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("sweep.yaml").write_text(SWEEP)
    assert main(given) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not Path("sweep").exists()


def test_a_folder_of_other_options_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from expnet.config import load_config
    from expnet.config.grammar import to_yaml

    Path("sweep.yaml").write_text(SWEEP)
    assert sweep(["sweep.yaml"]) == 0
    config = load_config(["configs/expression.yaml", "data.store=tracks", "optim.weight_decay=0.01", "optim.lr=0.01"])
    Path("sweep/runs/lr-0.01/config.yaml").write_text(to_yaml(config))
    assert sweep(["sweep.yaml"]) == 0
    assert main(["sweep", "sweep.yaml", "optim.ema=0.5"]) == 2
    assert "was trained with optim.ema=0.99, not 0.5" in capsys.readouterr().err


def test_options_and_help_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sweep.yaml").write_text(SWEEP)
    assert sweep(["sweep.yaml", "jobs=3", "--print-config"]) == 0
    assert "jobs: 3\n" in capsys.readouterr().out
    assert sweep(["--help"]) == 0
    assert multirun(["--multirun", "--help"]) == 0
    assert "sweep.slurm.partition" in capsys.readouterr().out
