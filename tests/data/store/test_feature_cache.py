"""Speech features of a store: computed once, aligned with the windows, and of these clips only."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from expnet.audio.speech_encoders import FeatureSource, load_speech_encoder
from expnet.config import SplitConfig
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.disturbed_copies import CopyRecipe
from expnet.data.feature_extraction import cache_features, default_folder
from expnet.data.sampling import WindowDraw
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track_store import TrackStore
from expnet.data.store_source import StoreSource, store_sources
from expnet.errors import ConfigError, DataError, MachineError


class Counting:
    """Stands in for a network: a frame's features are its number, and the first audio sample in it."""

    def __init__(self, sha256: str = "ab" * 32) -> None:
        self.source = FeatureSource("hubert", 2, 2, sha256)
        self.calls = 0

    def __call__(self, samples: np.ndarray, frames: int) -> np.ndarray:
        self.calls += 1
        return np.stack([np.arange(frames), samples[::640]], axis=1).astype(np.float32)


@pytest.fixture
def store(make_store: Any) -> TrackStore:
    clips = [("a", 90, "anna"), ("b", 70, "ben"), ("c", 40, "cleo"), ("d", 80, "dan")]
    return TrackStore(make_store(clips=clips, shard_frames=100))  # several shards


@pytest.fixture
def folder(store: TrackStore, tmp_path: Path) -> Path:
    return cache_features(store, tmp_path / "features", Counting())


def test_every_frame_has_the_features_of_its_clip(store: TrackStore, folder: Path) -> None:
    cache = FeatureCache(folder, store)
    assert len({row.shard for row in store.rows}) > 1
    for row in store.rows:
        features = cache.frames(row.shard, row.first_frame + 10, 20)
        np.testing.assert_array_equal(features[:, 0], np.arange(10, 30))
        np.testing.assert_allclose(features[:, 1], store.read(row.clip_id).audio[::640][10:30], atol=1e-3)


def test_a_full_disk_is_one_sentence_and_the_next_run_does_the_rest(
    store: TrackStore, tmp_path: Path, small_disk: Any
) -> None:
    class Wide(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.source = FeatureSource("hubert", 2, 1024, "ab" * 32)

        def __call__(self, samples: np.ndarray, frames: int) -> np.ndarray:
            return np.zeros((frames, 1024), np.float32)

    folder = small_disk(300) / "features"
    with pytest.raises(MachineError, match="No space left on device; make room"):
        cache_features(store, folder, Wide())
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    subprocess.run(["mount", "-o", "remount,size=8m", str(folder.parent)], check=True)
    FeatureCache(cache_features(store, folder, Wide()), store)


def test_an_interrupted_run_goes_on(store: TrackStore, folder: Path) -> None:
    again, shards = Counting(), sorted({row.shard for row in store.rows})
    cache_features(store, folder, again)
    assert again.calls == 0
    (folder / shards[0]).unlink()
    with pytest.raises(DataError, match="is incomplete"):
        FeatureCache(folder, store)
    told = []
    cache_features(store, folder, again, progress=lambda done, clips: told.append((done, clips)))
    assert again.calls == sum(row.shard == shards[0] for row in store.rows)
    assert told == [(4, 4)]  # the clips of the other shards are done
    FeatureCache(folder, store)
    assert not list(folder.glob(".*.part*"))


def test_features_of_something_else_are_refused(store: TrackStore, folder: Path, make_store: Any) -> None:
    other = TrackStore(make_store(name="other", clips=[("a", 90, "anna")]))
    with pytest.raises(DataError, match="other clips"):
        FeatureCache(folder, other)
    with pytest.raises(DataError, match="other clips or another encoder"):
        cache_features(store, folder, Counting("cd" * 32))
    with pytest.raises(DataError, match="not a folder of features"):
        cache_features(store, Path(store.files.location), Counting())
    with pytest.raises(DataError, match="no readable speech features"):
        FeatureCache(folder.parent, store)
    assert default_folder("tracks/", "hubert") == Path("tracks-hubert")


def test_batches_carry_them_in_step(store: TrackStore, folder: Path) -> None:
    split = SplitConfig(validation_fraction=0.3, test_fraction=0.0)
    options = {"window": 48, "batch_size": 2, "split": split}
    module = TalkingFaceDataModule(StoreSource(store.files.location, features=str(folder)), **options)
    batch = next(iter(module.train_dataloader()))
    assert batch.features.shape == (2, 48, 2)
    for number in range(2):
        numbers = batch.features[number, : batch.frames[number], 0]
        expected = batch.first_frame[number] + torch.arange(len(numbers))
        torch.testing.assert_close(numbers, expected.float())
    whole = next(iter(module.val_dataloader()))
    assert whole.features.shape == (1, whole.expression.shape[1], 2)
    without = TalkingFaceDataModule(store.files.location, **options)
    assert next(iter(without.train_dataloader())).features.numel() == 0
    assert without.feature_source is None


def test_faster_windows_have_faster_features(store: TrackStore, folder: Path) -> None:
    module = TalkingFaceDataModule(
        StoreSource(store.files.location, features=str(folder)),
        window=32,
        split=SplitConfig(test_fraction=0),
        augmentation=WindowAugmentation(speed=0.2),
    )
    dataset = module.train_dataloader().dataset
    steps = [dataset[WindowDraw(0, 0, draw)].features[0, 4:24, 0].diff().mean() for draw in range(12)]
    assert min(steps) < 0.95
    assert max(steps) > 1.05


def test_each_store_needs_its_features(store: TrackStore, folder: Path) -> None:
    place = store.files.location
    with pytest.raises(ConfigError, match="2 folders"):
        store_sources([place, place], features=str(folder))
    with pytest.raises(ConfigError, match="2 folders"):
        _ = TalkingFaceDataModule([StoreSource(place, features=str(folder)), place]).features


def test_files_are_half_precision(folder: Path) -> None:
    (features,) = load_file(next(folder.glob("*.safetensors"))).values()
    assert features.dtype == torch.float16


def test_a_store_behind_a_url_has_the_same_features(
    store: TrackStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPNET_SHARD_CACHE", str(tmp_path / "cache"))
    url = f"local://{store.files.location}"
    remote = TrackStore(url)
    found = cache_features(remote, tmp_path / "remote", Counting())
    for path in folder.glob("*.safetensors"):
        assert (found / path.name).read_bytes() == path.read_bytes()
    FeatureCache(found, remote)
    assert default_folder("s3://bucket/tracks/", "whisper-base") == Path("tracks-whisper-base")


def test_processes_write_the_same_files_and_go_on(
    store: TrackStore, tmp_path: Path, write_encoder: Callable[..., Path]
) -> None:
    load = partial(load_speech_encoder, write_encoder(tmp_path / "whisper.safetensors", 0))
    told: list[tuple[int, int]] = []
    several = tmp_path / "several"
    options: dict[str, Any] = {"copies": CopyRecipe(1), "workers": 2, "load": load}
    cache_features(store, several, load(), progress=lambda *numbers: told.append(numbers), **options)
    assert told == [(number, 8) for number in range(1, 9)]
    alone = cache_features(store, tmp_path / "alone", load(), copies=CopyRecipe(1))
    for path in alone.glob("*.safetensors"):
        ours, theirs = load_file(several / path.name), load_file(path)
        for name, values in theirs.items():
            torch.testing.assert_close(ours[name], values, atol=4e-3, rtol=4e-3)  # other numbers of threads
    (several / "00000.copy1.safetensors").unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in several.glob("*.safetensors")}
    cache_features(store, several, load(), **options)
    for name, time in kept.items():
        assert (several / name).stat().st_mtime_ns == time
    assert (several / "00000.copy1.safetensors").is_file()
