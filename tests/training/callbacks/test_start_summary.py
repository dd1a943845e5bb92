"""A training says what it starts with."""

import io
from types import SimpleNamespace
from typing import Any

import torch

from expnet.training.callbacks.start_summary import StartSummary


def clip(corpus: str, speaker: str, seconds: int) -> Any:
    return SimpleNamespace(row=SimpleNamespace(corpus=corpus, speaker=speaker, frames=25 * seconds))


def test_clips_by_split_and_corpus_and_the_global_batch() -> None:
    splits = {
        "train": [clip("hdtf", "a", 60), clip("hdtf", "a", 60), clip("mead", "a", 30)],
        "validation": [clip("hdtf", "b", 15)],
        "test": [],
    }
    module = torch.nn.Linear(9, 100)
    module.bias.requires_grad_(False)
    stream = io.StringIO()
    trainer: Any = SimpleNamespace(is_global_zero=True, world_size=4, accumulate_grad_batches=2)
    StartSummary(splits, 16, stream=stream).on_fit_start(trainer, module)  # type: ignore[arg-type]
    assert stream.getvalue().splitlines() == [
        "train       3 clips, 2 speakers, 2.5 min (hdtf 2 clips, 1 speaker, 2.0 min; mead 1 clip, 1 speaker, 0.5 min)",
        "validation  1 clip, 1 speaker, 0.2 min",
        "test        0 clips, 0 speakers, 0.0 min",
        "900 parameters, 4 processes, 128 windows per step",
    ]
    trainer.is_global_zero = False
    StartSummary(splits, 16, stream=stream).on_fit_start(trainer, module)  # type: ignore[arg-type]
    assert stream.getvalue().count("parameters") == 1
