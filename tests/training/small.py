"""A small synthetic store, the arguments of small runs on it, and readers of their results."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from expnet.coefficients import FaceCoefficients
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStoreWriter
from expnet.face.morphable import builtin_face_model

ROOT = Path(__file__).resolve().parents[2]


def make_track(seed: int, frames: int, split: str) -> Track:
    """A clip of noise whose loudness rises and falls, an expression that follows it, and a swaying head."""
    generator = np.random.default_rng(seed)
    loud = 0.5 + 0.5 * np.sin(np.arange(frames) / 25 * 2 * np.pi * generator.uniform(1, 2) + seed)
    noise = generator.normal(size=frames * 640)
    expression = 0.05 * generator.normal(size=(frames, 64)) + np.outer(loud, np.linspace(1, -1, 64))
    sway = np.sin(np.arange(frames)[:, None] / 25 * generator.uniform(1, 3, size=6) + seed) * 0.05
    landmarks = np.repeat(generator.uniform(40, 80, size=(1, 68, 2)), frames, axis=0)
    return Track(
        clip_id=f"clip{seed}",
        speaker=f"speaker{seed}",
        coefficients=FaceCoefficients(
            expression=expression,
            rotation=sway[:, :3],
            translation=sway[:, 3:],
            identity=np.zeros(builtin_face_model().identity_size),
            crop=(60.0, 60.0, 100.0),
        ),
        landmarks=landmarks.astype(np.float32),
        valid=np.ones(frames, bool),
        audio=(0.2 * noise * np.repeat(loud, 640)).clip(-1, 1).astype(np.float32),
        frame_size=(128, 128),
        split=split,
    )


def write_store(path: Path, *, train: int = 5, validation: int = 3) -> Path:
    """Write a store of clips of 70, 80, ... frames, each of a different speaker."""
    with TrackStoreWriter(path) as writer:
        for seed in range(train + validation):
            writer.add(make_track(seed, 70 + 10 * seed, "train" if seed < train else "validation"))
        writer.finish()
    return path


def arguments(task: str, store: Path, *overrides: str) -> list[str]:
    """Arguments of a twelve-step run in ``run``, whose epochs, validations and rows end at different steps."""
    return [
        f"configs/smoke_{task}.yaml",
        f"data.store={store}",
        "data.batch_size=2",
        "data.limit_validation_clips=null",
        "optim.ema=0.9",
        "trainer.accelerator=cpu",
        "trainer.max_steps=12",
        "trainer.validate_every=4",
        "trainer.log_every=3",
        "output=run",
        "ckpt=last",
        *overrides,
    ]


def rows_of(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def checkpoint_of(run: Path, name: str = "last") -> dict[str, Any]:
    """A checkpoint of a run."""
    found: dict[str, Any] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return found


def same(first: Any, second: Any) -> bool:
    """Whether two nested values are equal bit for bit; NaN equals NaN."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(value, second[key]) for key, value in first.items())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second or (first != first and second != second))
