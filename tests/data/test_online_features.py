"""Speech features computed in the batch: those that are stored, up to what the encoder has heard of the clip."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expnet.audio.speech_encoders import load_speech_encoder
from expnet.audio.speech_encoders.whisper import WhisperSpeechEncoder
from expnet.config import DataConfig, SplitConfig
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.feature_extraction import cache_features
from expnet.data.online_features import OnlineFeatures
from expnet.data.sampling import WindowDraw
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track_store import TrackStore
from expnet.errors import ConfigError

WINDOW = 32
KINDS = ("features", "mel")


@pytest.fixture
def store(make_store: Any) -> TrackStore:
    clips = [("a", 90, "anna"), ("b", 70, "ben"), ("c", 20, "cleo"), ("d", 200, "dan")]
    return TrackStore(make_store(clips=clips))


@pytest.fixture
def encoder(tmp_path: Path, write_encoder: Callable[..., Path]) -> WhisperSpeechEncoder:
    found = load_speech_encoder(write_encoder(tmp_path / "whisper.safetensors", 0))
    assert isinstance(found, WhisperSpeechEncoder)
    return found


def module(store: TrackStore, online: OnlineFeatures, validation: float = 0.0, **options: Any) -> TalkingFaceDataModule:
    split = SplitConfig(validation_fraction=validation, test_fraction=0)
    augmentation = WindowAugmentation(**{"gain_decibels": 0.0, "noise_snr": None, **options})
    return TalkingFaceDataModule(
        store.files.location, window=WINDOW, batch_size=4, split=split, augmentation=augmentation, online=online
    )


def transferred(data: TalkingFaceDataModule, batch: Any) -> Any:
    return data.on_after_batch_transfer(batch, 0)


def test_whole_clips_have_the_stored_features(store: TrackStore, encoder: WhisperSpeechEncoder, tmp_path: Path) -> None:
    cache = FeatureCache(cache_features(store, tmp_path / "features", encoder), store)
    data = module(store, OnlineFeatures(encoder), validation=0.3)
    assert data.feature_source == cache.source
    batches = list(data.val_dataloader())
    assert batches
    for batch in batches:
        found = transferred(data, batch)
        row = store.row(batch.clip_ids[0])
        stored = cache.frames(row.shard, row.first_frame, row.frames)
        np.testing.assert_allclose(found.features[0].numpy(), stored, atol=2e-2, rtol=1e-2)
        assert found.audio.numel() == 0


def test_with_all_of_the_clip_as_context_a_window_has_the_stored_features(
    store: TrackStore, encoder: WhisperSpeechEncoder, tmp_path: Path
) -> None:
    """The window and its context are exactly the longest clip, wherever the window lies in it."""
    cache = FeatureCache(cache_features(store, tmp_path / "features", encoder), store)
    data = module(store, OnlineFeatures(encoder, (200 - WINDOW) / 2 / 25))
    dataset = data.train_dataloader().dataset
    (longest,) = [index for index, entry in enumerate(dataset.clips) if entry.row.frames == 200]
    row, places = dataset.clips[longest].row, set()
    for draw in range(6):
        batch = transferred(data, dataset[WindowDraw(longest, 0, draw)])
        first = int(batch.first_frame)
        places.add(first)
        stored = cache.frames(row.shard, row.first_frame + first, WINDOW)
        np.testing.assert_allclose(batch.features[0].numpy(), stored, atol=2e-2, rtol=1e-2)
    assert len(places) > 3


def test_frames_after_the_clip_repeat_its_last_features(store: TrackStore, encoder: WhisperSpeechEncoder) -> None:
    data = module(store, OnlineFeatures(encoder))
    dataset = data.train_dataloader().dataset
    (shortest,) = [index for index, entry in enumerate(dataset.clips) if entry.row.frames == 20]
    features = transferred(data, dataset[WindowDraw(shortest, 0, 0)]).features[0]
    torch.testing.assert_close(features[20:], features[19:20].expand(WINDOW - 20, -1))
    assert features[:20].std(dim=0).min() > 0


def test_augmentation_and_speed_reach_the_features(store: TrackStore, encoder: WhisperSpeechEncoder) -> None:
    plain, noisy, faster = (
        module(store, OnlineFeatures(encoder), **options) for options in ({}, {"noise_snr": 0.0}, {"speed": 0.2})
    )
    datasets = [data.train_dataloader().dataset for data in (plain, noisy, faster)]
    changes = []
    for draw in range(6):
        batches = [transferred(plain, dataset[WindowDraw(0, 0, draw)]) for dataset in datasets]
        for batch in batches:
            assert batch.features.shape == (1, WINDOW, 64)
            assert batch.features.isfinite().all()
        changes.append([float((getattr(batches[0], name) - getattr(batches[1], name)).abs().mean()) for name in KINDS])
    features, mel = np.transpose(changes)
    assert features.min() > 0
    assert np.corrcoef(features, mel)[0, 1] > 0.5  # both hear the same noise


def test_a_context_that_the_encoder_cannot_hear_is_refused() -> None:
    DataConfig(features="online", encoder_context=10.0)
    with pytest.raises(ConfigError, match=r"data\.encoder_context must be at least 0 and at most"):
        DataConfig(features="online", encoder_context=14.0)
