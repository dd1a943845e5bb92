"""metrics.csv, the progress line, and checkpoint files."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from expnet.training.callbacks.csv_logger import CsvLogger
from expnet.training.callbacks.progress import ProgressLine, clock
from expnet.training.callbacks.resume import AtomicCheckpoints, RandomState


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_csv_grows_by_rows_and_columns(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path / "new" / "metrics.csv")
    logger.log_metrics({"train/loss": 0.5, "epoch": 0}, step=1)
    logger.log_metrics({"train/loss": 0.25, "epoch": 0}, step=2)
    logger.log_metrics({"val/loss": 0.125, "epoch": 1}, step=2)
    written = rows(logger.path)
    assert list(written[0]) == ["step", "epoch", "train/loss", "val/loss"]
    assert [row["train/loss"] for row in written] == ["0.5", "0.25", ""]
    assert written[2] == {"step": "2", "epoch": "1", "train/loss": "", "val/loss": "0.125"}
    assert [file.name for file in logger.path.parent.iterdir()] == ["metrics.csv"]


def test_a_resumed_csv_forgets_what_the_stopped_run_did_after_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = CsvLogger(path)
    for step in range(6):
        first.log_metrics({"loss": step / 3}, step=step)
    before = path.read_text()
    resumed = CsvLogger(path, resume_step=4)
    for step in (4, 5):
        resumed.log_metrics({"loss": step / 3}, step=step)
    assert path.read_text() == before
    anew = CsvLogger(path)
    anew.log_metrics({"loss": 1.0}, step=0)
    assert len(rows(path)) == 1


def test_progress_line() -> None:
    stream = io.StringIO()
    line = ProgressLine(("train/loss", "val/within_clip_r2", "absent"), stream=stream)
    trainer = SimpleNamespace(
        global_step=0,
        max_steps=10,
        is_global_zero=True,
        sanity_checking=False,
        callback_metrics={"train/loss": torch.tensor(0.51234), "val/within_clip_r2": torch.tensor(0.125)},
    )
    line.on_train_start(trainer, None)
    line._started -= 2.0
    trainer.global_step = 5
    line.on_train_batch_end(trainer)
    assert stream.getvalue() == ""
    line.on_validation_end(trainer, None)
    assert stream.getvalue() == "step 5/10  loss 0.512  R2 0.125  2.5 steps/s  2 s left\n"
    trainer.global_step = 10
    assert line.line(trainer).endswith("took 2 s")


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    values = {name: torch.tensor(0.5) for name in "abcde"}
    line = ProgressLine(tuple(values), stream=stream)
    trainer = SimpleNamespace(
        global_step=5, max_steps=20, is_global_zero=True, sanity_checking=False, callback_metrics=values
    )
    line.on_train_start(trainer, None)
    line._printed -= 1.0
    line.on_train_batch_end(trainer)
    shown = stream.getvalue()
    assert shown.startswith("[#####...............] step 5/20  a 0.500  b 0.500  c 0.500  d 0.500  ")  # four at most
    assert shown.endswith("\r")


def test_clock() -> None:
    assert [clock(seconds) for seconds in (3.4, 75, 7265)] == ["3 s", "1:15 min", "2:01 h"]


def test_random_state_comes_back_once() -> None:
    state = RandomState()
    torch.manual_seed(3)
    kept = state.state_dict()
    expected = torch.rand(3)
    state.load_state_dict(kept)
    trainer = SimpleNamespace(global_rank=0, world_size=1)
    torch.rand(7)
    state.on_train_batch_start(trainer)
    assert torch.equal(torch.rand(3), expected)
    state.on_train_batch_start(trainer)
    assert not torch.equal(torch.rand(3), expected)


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "last.ckpt"
    AtomicCheckpoints().save_checkpoint({"a": torch.ones(2)}, path)
    assert torch.equal(AtomicCheckpoints().load_checkpoint(path)["a"], torch.ones(2))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        AtomicCheckpoints().save_checkpoint({"a": torch.zeros(2)}, path)
    assert torch.equal(AtomicCheckpoints().load_checkpoint(path)["a"], torch.ones(2))
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
