"""Windows whose audio is augmented and turned into a spectrogram in the batch: those that a worker would have made."""

from typing import Any

import numpy as np
import pytest
import torch

from expnet.audio.alignment import mel_for_frames, mel_for_windows
from expnet.config import SplitConfig
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.sampling import WindowDraw
from expnet.data.silent_windows import SilentRuns
from expnet.face.morphable import load_face_model

WINDOW = 32
QUIET = {"gain_decibels": 0.0, "noise_snr": None}


def module(path: Any, **options: Any) -> TalkingFaceDataModule:
    workers = options.pop("workers", 0)
    return TalkingFaceDataModule(
        str(path),
        window=WINDOW,
        batch_size=4,
        workers=workers,
        split=SplitConfig(validation_fraction=0, test_fraction=0),
        augmentation=WindowAugmentation(**{**QUIET, **options}),
        windows_per_clip=8,
    )


@pytest.fixture
def store(make_store: Any) -> Any:
    return make_store(clips=[("a", 90, "anna"), ("b", 40, "ben"), ("c", 20, "cleo"), ("d", 33, "dan")])


def batches_of(data: TalkingFaceDataModule) -> list[Any]:
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def test_the_spectrograms_of_windows_are_those_of_single_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    audio = 0.2 * torch.randn(3, 60 * 640, generator=generator)
    before = torch.tensor([0, 6, 60 - WINDOW])
    found = mel_for_windows(audio, before, WINDOW)
    for row, place, mel in zip(audio, before.tolist(), found, strict=True):
        torch.testing.assert_close(mel, mel_for_frames(row, place, WINDOW), rtol=0, atol=1e-4)


@pytest.mark.parametrize("speed", [0.0, 0.2])
@pytest.mark.parametrize("share", [0.0, 0.7])
def test_without_augmentation_a_batch_is_what_the_workers_make(store: Any, speed: float, share: float) -> None:
    """At the beginning and the end of clips, in clips shorter than a window, at other speeds, and with silence."""
    silent_runs = SilentRuns(load_face_model(), share) if share else None
    options = {"speed": speed, "silent_runs": silent_runs}
    by_workers = batches_of(module(store, **options))
    on_device = batches_of(module(store, on_device=True, **options))
    assert len(by_workers) == len(on_device) > 3
    for one, other in zip(by_workers, on_device, strict=True):
        assert one.clip_ids == other.clip_ids
        torch.testing.assert_close(one.expression, other.expression)
        torch.testing.assert_close(one.mel, other.mel, rtol=0, atol=1e-3)
        assert other.audio.numel() == other.babble.numel() == len(other.seeds) == 0


def test_a_window_is_augmented_alike_in_any_batch_and_by_any_number_of_workers(store: Any) -> None:
    options = {
        "noise_snr": 5.0, "gain_decibels": 6.0, "reverberation": 0.5, "codec": 0.5, "pitch": 0.3, "babble": 0.5,
    }  # fmt: skip
    data = module(store, on_device=True, **options)
    batches = batches_of(data)
    plain = batches_of(module(store))
    assert all((one.mel - other.mel).abs().mean() > 0.1 for one, other in zip(batches, plain, strict=True))
    for one, other in zip(batches, batches_of(module(store, on_device=True, workers=2, **options)), strict=True):
        torch.testing.assert_close(one.mel, other.mel, rtol=0, atol=0)
    dataset, sampler = data.train_dataloader().dataset, data.train_dataloader().sampler
    draws = list(sampler)[:8]
    assert all(isinstance(draw, WindowDraw) for draw in draws)
    alone = torch.cat([data.on_after_batch_transfer(dataset[draw], 0).mel for draw in draws])
    torch.testing.assert_close(alone, torch.cat([batch.mel for batch in batches[:2]]), rtol=0, atol=1e-3)


def test_outside_the_clip_it_stays_silent(store: Any) -> None:
    """As where workers augment: noise covers the recording, and what lies before and after it is no recording."""
    data = module(store, on_device=True, noise_snr=0.0)
    for batch in batches_of(data):
        for row, first, name in zip(batch.mel, batch.first_frame.tolist(), batch.clip_ids, strict=True):
            if name == "c":  # 20 frames, shorter than the window
                assert first == 0
                assert torch.equal(row[:, :13], torch.full((80, 13), -4.0))
                assert torch.equal(row[:, -30:], torch.full((80, 30), -4.0))
                assert row[:, 20:70].mean() > -3


def test_validation_clips_are_complete_already(store: Any) -> None:
    data = TalkingFaceDataModule(
        str(store), window=WINDOW, augmentation=WindowAugmentation(on_device=True), split=SplitConfig(test_fraction=0.3)
    )
    for batch in data.test_dataloader():
        after = data.on_after_batch_transfer(batch, 0)
        assert after is batch
        assert batch.mel.shape[-1] > 0


def test_babble_is_heard_in_the_share_of_windows_that_was_asked_for(store: Any) -> None:
    data = module(store, on_device=True, babble=0.4)
    dataset = data.train_dataloader().dataset
    heard = [bool(dataset[WindowDraw(0, 0, draw)].babble.any()) for draw in range(200)]
    assert 0.3 < np.mean(heard) < 0.5
    assert {batch.mel.dtype for batch in batches_of(data)} == {torch.float32}
