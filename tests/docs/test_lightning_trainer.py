"""The script of docs/guides/lightning.md, in a Trainer that is not expnet's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from small import make_track

from expnet.data.store.track_store import TrackStoreWriter
from expnet.training.tasks.base_task import StepOutput

ROOT = Path(__file__).resolve().parents[2]
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "val_check_interval": 4,
}
STEPS = 8
SMALL = ("model.width=16", "model.layers=1", "model.audio_channels=8", "data.batch_size=2")


@pytest.fixture(scope="module")
def split_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with official splits, so that there are test clips."""
    path = tmp_path_factory.mktemp("lightning") / "store"
    with TrackStoreWriter(path) as writer:
        for seed, split in enumerate(["train", "train", "train", "validation", "test", "test"]):
            writer.add(make_track(seed, 70 + 10 * seed, split))
        writer.finish()
    return path


@pytest.fixture
def own(example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.chdir(ROOT)
    return example("lightning_trainer")


def test_fit_resume_validate_test_and_predict(own: ModuleType, split_store: Path, tmp_path: Path) -> None:
    found = own.main(str(split_store), tmp_path / "run", *SMALL, steps=STEPS, **QUIET)
    assert len(found["losses"]) == STEPS // 2
    assert {"val/loss", "val/within_clip_r2", "val/mouth_opening_correlation"} <= found["validation"][0].keys()
    assert {"test/loss", "test/within_clip_r2"} <= found["test"][0].keys()
    assert all(isinstance(output, StepOutput) for output in found["predictions"])
    assert {name for output in found["predictions"] for name in output.clip_ids} == {"clip4", "clip5"}
    rates = found["learning_rates"]["lr"]
    assert rates == sorted(rates)
    assert len(rates) == len(found["learning_rates"]["loss"]) > 2

    # The run that nothing interrupted has the same losses, bit for bit, and the same weights.
    task, data = own.open_parts(str(split_store), *SMALL, f"trainer.max_steps={STEPS}")
    history = own.LossHistory()
    own.make_trainer(tmp_path / "whole", task, history, max_steps=STEPS, **QUIET).fit(task, datamodule=data)
    assert history.losses[STEPS // 2 :] == found["losses"]
    whole, parts = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "run"))
    assert whole["global_step"] == parts["global_step"] == STEPS
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name


@pytest.mark.slow  # 30 epochs of one batch, each with a loader of its own
def test_overfit_batches(own: ModuleType, split_store: Path, tmp_path: Path) -> None:
    task, data = own.open_parts(str(split_store), *SMALL, "trainer.max_steps=30", "optim.lr=3e-3", "model.dropout=0")
    history = own.LossHistory()
    trainer = pl.Trainer(
        **{**QUIET, "val_check_interval": None},
        max_steps=30,
        overfit_batches=1,
        limit_val_batches=0,
        callbacks=[history],
        logger=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(task, datamodule=data)
    assert sum(history.losses[-5:]) < 0.8 * sum(history.losses[:5])
