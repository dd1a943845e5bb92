"""Disturbed copies: drawn from (seed, clip, copy), heard by the encoder, and shown to a share of the windows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expnet.audio.alignment import SAMPLES_PER_FRAME, mel_for_frames
from expnet.audio.speech_encoders import FeatureSource
from expnet.config import CopyConfig, SplitConfig
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.disturbed_copies import CopyMaker, CopyRecipe, draw_runs, draw_version, has_silence, runs_of
from expnet.data.feature_extraction import cache_features
from expnet.data.sampling import WindowDraw
from expnet.data.silent_windows import SHORTEST_RUN, SilentRuns
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track_store import TrackStore
from expnet.data.store_source import StoreSource
from expnet.errors import ConfigError, DataError
from expnet.face.measures import signed_mouth_opening
from expnet.face.morphable import builtin_face_model

QUIET = CopyConfig(gain_decibels=0, noise_snr=None, babble=0, reverberation=0, codec=0, pitch=0, silent_share=1)
WINDOW = 48


class Loudness:
    """Stands in for a network: a frame's features are its number and the root mean square of its audio."""

    source = FeatureSource("whisper", 3, 2, "ab" * 32)

    def __call__(self, samples: np.ndarray, frames: int) -> np.ndarray:
        power = np.square(samples.reshape(frames, -1)).mean(axis=1)
        return np.stack([np.arange(frames), np.sqrt(power)], axis=1).astype(np.float32)


@pytest.fixture
def store(make_store: Any) -> TrackStore:
    clips = [("a", 300, "anna"), ("b", 200, "ben"), ("c", 20, "cleo"), ("d", 150, "dan")]
    return TrackStore(make_store(clips=clips, shard_frames=350))


def module(store: TrackStore, folder: Path, share: float = 0.0, **options: Any) -> TalkingFaceDataModule:
    runs = SilentRuns(builtin_face_model(), share) if share else None
    augmentation = WindowAugmentation(gain_decibels=0, noise_snr=None, silent_runs=runs, **options)
    source = StoreSource(store.files.location, features=str(folder))
    split = SplitConfig(validation_fraction=0.3, test_fraction=0)
    return TalkingFaceDataModule(source, window=WINDOW, split=split, augmentation=augmentation)


def test_a_copy_depends_on_seed_clip_and_number_alone(store: TrackStore) -> None:
    row, options = store.row("a"), CopyConfig()
    copy = CopyMaker(store, CopyRecipe(2, 0, options))(row, 2)
    assert copy.samples.shape == (300 * SAMPLES_PER_FRAME,)
    np.testing.assert_array_equal(copy.samples, CopyMaker(store, CopyRecipe(9, 0, options))(row, 2).samples)
    for other in (CopyMaker(store, CopyRecipe(2, 1, options))(row, 2), CopyMaker(store, CopyRecipe(2))(row, 1)):
        assert np.abs(copy.samples - other.samples).max() > 0.01


def test_pieces_of_a_long_clip_join(store: TrackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expnet.data.disturbed_copies.PIECE", 70)
    copy = CopyMaker(store, CopyRecipe(1, 0, QUIET))(store.row("a"), 1)
    assert copy.samples.shape == (300 * SAMPLES_PER_FRAME,)
    assert len(runs_of(copy.silent)) >= 4


def test_the_share_of_copies_with_silence() -> None:
    assert [has_silence(copy, 0.25) for copy in range(1, 9)] == [True, False, False, False, True, False, False, False]
    assert not any(has_silence(copy, 0) for copy in range(1, 9))
    assert all(has_silence(copy, 1) for copy in range(1, 9))


def test_runs_lie_in_the_clip_and_are_found_again() -> None:
    for seed in range(50):
        runs = draw_runs(700, np.random.default_rng(seed))
        silent = np.zeros(700, bool)
        for first, end in runs:
            assert 0 <= first < end - SHORTEST_RUN + 1
            assert end <= 700
            silent[first:end] = True
        assert len(runs) == 6
        found = runs_of(silent)
        assert sum(end - first for first, end in found) == silent.sum()
    assert draw_runs(2 * SHORTEST_RUN - 1, np.random.default_rng(0)) == []


def test_a_window_meets_silence_in_the_share_that_is_asked_for() -> None:
    runs = [[(100, 130)], [], [(0, 20), (280, 300)]]
    silent, versions = 0, set()
    for seed in range(2000):
        generator = np.random.default_rng(seed)
        place = int(generator.integers(300 - WINDOW + 1))
        copy, first = draw_version(runs, 300, (place, place + WINDOW), 0.3, generator)
        assert 0 <= first <= 300 - WINDOW
        here = runs[copy - 1] if copy else []
        common = max((min(first + WINDOW, end) - max(first, begin) for begin, end in here), default=0)
        assert common <= 0 or common >= SHORTEST_RUN
        silent += common > 0
        versions.add(copy)
    assert versions == {0, 1, 2, 3}
    assert silent / 2000 == pytest.approx(0.3, abs=0.04)


def audio_of(entry: Any, cache: FeatureCache, copy: int) -> np.ndarray:
    frames = entry.row.frames
    return cache.read_audio(entry.row, 0, frames, copy) if copy else entry.store.read_audio(entry.row, 0, frames)


def test_mel_features_and_lips_of_a_window_belong_together(store: TrackStore, tmp_path: Path) -> None:
    folder = cache_features(store, tmp_path / "features", Loudness(), copies=CopyRecipe(2, 0, QUIET))
    cache = FeatureCache(folder, store)
    data = module(store, folder, share=0.5)
    dataset = data.train_dataloader().dataset
    met = 0
    for draw in range(40):
        clip = draw % len(dataset)
        batch, entry = dataset[WindowDraw(clip, 0, draw)], dataset.clips[clip]
        row = entry.row
        first, frames = int(batch.first_frame), int(batch.frames)
        # The version is the one whose features and whose mel are both those of the batch.
        copy = next(
            k
            for k in range(3)
            if np.array_equal(cache.frames(row.shard, row.first_frame + first, frames, k), batch.features[0, :frames])
            and torch.equal(batch.mel[0], mel_for_frames(audio_of(entry, cache, k), first, WINDOW))
        )
        silent = cache.silent(row, copy)[first : first + frames] if copy else np.zeros(frames, bool)
        opening = opening_of(batch.expression[0])[:frames]
        real = torch.from_numpy(entry.read().coefficients.expression[first : first + frames])
        torch.testing.assert_close(batch.expression[0, :frames][~silent], real[~silent])
        for begin, end in runs_of(silent):
            if end - begin > 12:
                assert opening[begin + 5 : end - 5].max() < 0.03
                met += 1
    assert met > 5


def test_without_a_share_no_window_is_silent(store: TrackStore, tmp_path: Path) -> None:
    folder = cache_features(store, tmp_path / "features", Loudness(), copies=CopyRecipe(2, 0, QUIET))
    dataset = module(store, folder).train_dataloader().dataset
    for draw in range(60):
        batch = dataset[WindowDraw(draw % len(dataset), 0, draw)]
        assert batch.features[0, :, 1].min() > 0.1


def opening_of(expression: torch.Tensor) -> torch.Tensor:
    face = builtin_face_model()
    return signed_mouth_opening(face.landmarks(torch.zeros(len(expression), face.identity_size), expression)).abs()


def test_faster_windows_close_the_lips_where_they_are_silent(store: TrackStore, tmp_path: Path) -> None:
    folder = cache_features(store, tmp_path / "features", Loudness(), copies=CopyRecipe(1, 0, QUIET))
    dataset = module(store, folder, share=0.9, speed=0.2).train_dataloader().dataset
    met = 0
    for draw in range(30):
        batch = dataset[WindowDraw(draw % len(dataset), 0, draw)]
        frames, loudness = int(batch.frames), batch.features[0, :, 1].numpy()
        muted = loudness[:frames] < 0.5 * np.median(dataset_loudness(dataset))
        for begin, end in runs_of(muted):
            if end - begin > 14:
                assert opening_of(batch.expression[0])[begin + 6 : end - 6].max() < 0.03
                met += 1
    assert met > 5


def dataset_loudness(dataset: Any) -> np.ndarray:
    return np.concatenate([np.sqrt(np.square(entry.read().audio).reshape(-1, 640).mean(1)) for entry in dataset.clips])


def test_a_folder_gets_more_copies_and_refuses_others(store: TrackStore, tmp_path: Path) -> None:
    plain = cache_features(store, tmp_path / "features", Loudness())
    assert FeatureCache(plain, store).copies == 0
    cache_features(store, plain, Loudness(), copies=CopyRecipe(1))
    before = (plain / "00000.copy1.safetensors").read_bytes()
    cache_features(store, plain, Loudness(), copies=CopyRecipe(2))
    cache_features(store, plain, Loudness())
    assert FeatureCache(plain, store).copies == 2
    assert (plain / "00000.copy1.safetensors").read_bytes() == before
    with pytest.raises(DataError, match="another seed or other options"):
        cache_features(store, plain, Loudness(), copies=CopyRecipe(2, 1))
    (plain / "00001.copy2.safetensors").unlink()
    with pytest.raises(DataError, match="incomplete"):
        FeatureCache(plain, store)


def test_silence_needs_copies_that_have_some(store: TrackStore, tmp_path: Path) -> None:
    folder = cache_features(store, tmp_path / "features", Loudness())
    with pytest.raises(ConfigError, match="expnet features STORE --copies"):
        _ = module(store, folder, share=0.1).features
    speaking = CopyRecipe(1, 0, CopyConfig(silent_share=0))
    cache_features(store, folder, Loudness(), copies=speaking)
    with pytest.raises(ConfigError, match="no disturbed copies with silence"):
        _ = module(store, folder, share=0.1).features


def test_validation_shows_the_original(store: TrackStore, tmp_path: Path) -> None:
    folder = cache_features(store, tmp_path / "features", Loudness(), copies=CopyRecipe(3))
    data, cache = module(store, folder, share=0.5), FeatureCache(folder, store)
    for batch in data.val_dataloader():
        row = store.row(batch.clip_ids[0])
        expected = cache.frames(row.shard, row.first_frame, row.frames)
        np.testing.assert_array_equal(batch.features[0].numpy(), expected)
