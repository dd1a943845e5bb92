"""A run of configs/refiner.yaml: its folder, and the same result bit for bit when it is interrupted and resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import checkpoint_of, rows_of, same

from expnet.config import load_config
from expnet.data.store.track import Track
from expnet.errors import ConfigError, ExpnetError
from expnet.models.saved_model import load_model
from expnet.render.refiner import training_pairs as region_pairs
from expnet.training.main import train
from expnet.training.replay import replay
from expnet.training.saved_step import SavedStep
from expnet.training.tasks.refiner_task import RefinerTask

CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "refiner.yaml")


@pytest.fixture(autouse=True)
def _made_up_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise in place of crops from videos, which the small store lacks."""

    def made_pairs(track: Track, *_: object) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(len(track.audio))
        return {
            "inputs": generator.integers(0, 255, (4, 1, 10, 32, 32), np.uint8),
            "targets": generator.integers(0, 255, (4, 1, 3, 32, 32), np.uint8),
            "gates": generator.uniform(0, 1, (4, 1)).astype(np.float32),
        }

    monkeypatch.setattr(region_pairs, "make_pairs", made_pairs)


def run(store: Path, output: str, *overrides: str) -> Path:
    return train(
        load_config(
            [
                CONFIG,
                f"data.store={store}",
                "data.batch_size=2",
                "model.size=32",
                "model.width=4",
                "model.levels=2",
                "trainer.accelerator=cpu",
                "trainer.max_steps=10",
                "trainer.validate_every=4",
                "trainer.log_every=2",
                f"output={output}",
                *overrides,
            ]
        )
    )


def test_a_run_that_was_stopped_goes_on_bit_for_bit(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(store, "whole")
    assert load_model(whole, "refiner").size == 32  # type: ignore[comparison-overlap]
    assert {"config.yaml", "command.txt", "versions.json", "metrics.csv"} <= {path.name for path in whole.iterdir()}
    step = RefinerTask.training_step

    def stopping(task: RefinerTask, batch: object, batch_idx: int) -> object:
        if task.global_step == 7:
            raise RuntimeError("stopped")
        return step(task, batch, batch_idx)  # type: ignore[arg-type]

    monkeypatch.setattr(RefinerTask, "training_step", stopping)
    with pytest.raises(RuntimeError, match="stopped"):
        run(store, "stopped")
    monkeypatch.setattr(RefinerTask, "training_step", step)
    again = run(store, "stopped", "ckpt=last")
    assert rows_of(again) == rows_of(whole)
    assert same(checkpoint_of(again)["state_dict"], checkpoint_of(whole)["state_dict"])


def test_a_step_that_fails_can_be_run_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = region_pairs.make_pairs

    def broken_pairs(*given: object) -> dict[str, np.ndarray]:
        pairs = made(*given)  # type: ignore[arg-type]
        return {**pairs, "gates": np.full_like(pairs["gates"], np.nan)}

    monkeypatch.setattr(region_pairs, "make_pairs", broken_pairs)
    with pytest.raises(ExpnetError, match="The loss became nan"):
        run(store, "broken", "data.crops=broken_crops")
    found = replay(SavedStep.load("broken/failure/step_000000.safetensors"), accelerator="cpu")
    assert np.isnan(found.loss)
    assert set(found.inputs) == {"gates"}


def test_rendered_metrics_are_refused() -> None:
    with pytest.raises(ConfigError, match="the refiner does not predict"):
        load_config([CONFIG, "metrics.samples=true"])
