import os
from dataclasses import fields, replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DistributedSampler

from expnet.audio.alignment import mel_for_frames
from expnet.config import DataConfig, SplitConfig
from expnet.data import datamodule
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.batch import FaceBatch, collate
from expnet.data.clip_entry import ClipEntry
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.dataset import FaceDataset
from expnet.data.sampling import ShardSampler, WindowDraw, WindowSampler
from expnet.data.silent_windows import SilentRuns
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.data.store.writer import write_clip
from expnet.data.store_source import StoreSource, store_sources
from expnet.errors import ConfigError, DataError
from expnet.face.morphable import builtin_face_model

CLIPS = [(f"{speaker}-{index}", 60 + 30 * index, speaker) for speaker in "abcdefgh" for index in range(2)]


@pytest.fixture
def store(make_store):
    return str(make_store(clips=CLIPS))


def dataset_of(path, **options):
    store = TrackStore(path)
    return FaceDataset([ClipEntry(store, row) for row in store.rows], **options)


def assert_same(one, two):
    assert one.clip_ids == two.clip_ids
    for field in fields(FaceBatch):
        value = getattr(one, field.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(two, field.name)), field.name
        else:
            assert value == getattr(two, field.name), field.name


def test_a_window_is_a_piece_of_the_clip(store):
    dataset = dataset_of(store, window=40, seed=3, speakers=("", "a", "b"))
    batch = dataset[WindowDraw(1, 0, 7)]
    track = dataset.clips[1].store.read(batch.clip_ids[0])
    first = int(batch.first_frame)
    window = track.window(first, 40)
    assert first > 0
    np.testing.assert_array_equal(batch.expression[0], window.coefficients.expression)
    np.testing.assert_array_equal(batch.pose[0], window.coefficients.pose)
    np.testing.assert_array_equal(batch.first_expression[0], window.coefficients.expression[0])
    np.testing.assert_array_equal(batch.first_pose[0], window.coefficients.pose[0])
    np.testing.assert_array_equal(batch.relative_pose[0], window.coefficients.relative_pose())
    np.testing.assert_array_equal(batch.identity[0], track.coefficients.identity)
    # Computed from the window's own audio, and equal to that of the whole clip to the last bit.
    assert torch.equal(batch.mel[0], mel_for_frames(track.audio, first, 40))
    assert batch.mel.shape == (1, 80, 32 + 128)
    assert batch.valid.all()
    assert (int(batch.style), int(batch.emotion), int(batch.frames)) == (1, 0, 40)


def test_a_short_clip_is_padded_and_marked(store):
    batch = dataset_of(store, window=80)[WindowDraw(0, 0, 0)]
    assert batch.expression.shape == (1, 80, 64)
    assert int(batch.frames) == 60
    assert batch.valid[0, :60].all()
    assert not batch.valid[0, 60:].any()
    assert torch.equal(batch.rotation[0, 79], batch.rotation[0, 59])


def test_interpolated_frames_are_not_valid(make_store, make_track):
    track = make_track("a", 30, valid=np.arange(30) != 12)
    assert dataset_of(make_store(clips=[track]))[0].valid[0].tolist() == [index != 12 for index in range(30)]


def test_windows_depend_on_seed_epoch_and_draw_only(store):
    dataset = dataset_of(store, window=20, seed=1)
    assert_same(dataset[WindowDraw(5, 2, 9)], dataset[WindowDraw(5, 2, 9)])
    starts = [int(dataset[WindowDraw(5, epoch, draw)].first_frame) for epoch in range(2) for draw in range(50)]
    assert len(set(starts)) > 40  # of 71 possible ones
    assert {0, 70} <= {
        int(dataset_of(store, window=20, seed=seed)[WindowDraw(5, 0, draw)].first_frame)
        for seed in range(3)
        for draw in range(90)
    }


def test_sampler_draws_clips_by_length_and_each_epoch_anew():
    expected = np.array([1.0, 2.5, 0.5, 4.0])
    sampler = WindowSampler(expected, seed=0)
    counts = []
    for epoch in range(200):
        sampler.set_epoch(epoch)
        draws = list(sampler)
        assert len(draws) == len(sampler) == 8
        assert sorted(draw.draw for draw in draws) == list(range(8))
        counts.append(np.bincount([draw.clip for draw in draws], minlength=4))
    assert (np.abs(np.array(counts) - expected) <= 1).all()
    np.testing.assert_allclose(np.mean(counts, axis=0), expected, atol=0.1)
    sampler.set_epoch(0)
    first = list(sampler)
    sampler.set_epoch(1)
    assert [draw.clip for draw in first] != [draw.clip for draw in sampler]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_an_epoch_without_overlap(world):
    expected = np.full(10, 2.0)
    whole = list(WindowSampler(expected))
    shares = [list(WindowSampler(expected, rank=rank, world=world)) for rank in range(world)]
    assert {len(share) for share in shares} == {20 // world}
    together = [draw for share in shares for draw in share]
    assert len(set(together)) == len(together)
    assert set(together) <= set(whole)


def test_sampler_goes_on_where_a_run_stopped():
    expected = np.full(10, 2.0)
    straight, resumed = WindowSampler(expected, seed=4), WindowSampler(expected, seed=4)
    straight.set_epoch(3)
    resumed.resume(3, 8)
    assert list(resumed) == list(straight)[8:]
    assert list(resumed) == list(straight)[8:]  # Lightning may ask twice
    assert len(resumed) == len(straight)
    straight.set_epoch(4)
    resumed.set_epoch(4)
    assert list(resumed) == list(straight)


@pytest.mark.parametrize("world", [1, 2, 3, 20])
def test_every_validation_clip_is_seen_once(world):
    shares = [list(ShardSampler(7, rank=rank, world=world)) for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(range(7))


def test_lightning_leaves_the_samplers_alone(store):
    module = TalkingFaceDataModule(store, batch_size=2)
    assert isinstance(module.train_dataloader().sampler, DistributedSampler)
    assert isinstance(module.val_dataloader().sampler, DistributedSampler)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_with_any_number_of_workers(store, workers):
    os.environ["OMP_NUM_THREADS"] = "1"
    options = {"window": 32, "batch_size": 4, "augmentation": WindowAugmentation(), "seed": 5}
    plain = TalkingFaceDataModule(store, **options)
    other = TalkingFaceDataModule(store, workers=workers, **options)
    for module in (plain, other):
        module.setup("fit")
    loaders = plain.train_dataloader(), other.train_dataloader()
    for epoch in (0, 1):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        batches = [list(loader) for loader in loaders]
        assert len(batches[0]) == len(batches[1]) > 3
        for one, two in zip(*batches, strict=True):
            assert one.mel.shape == (4, 80, 32 + 103)
            assert_same(one, two)


def test_validation_gives_whole_clips_of_other_people(store):
    split = SplitConfig(validation_fraction=0.25, test_fraction=0.25)
    module = TalkingFaceDataModule(store, window=32, split=split)
    module.setup()
    sides = {split: {entry.row.speaker for entry in entries} for split, entries in module.splits.items()}
    assert {split: len(names) for split, names in sides.items()} == {"train": 4, "validation": 2, "test": 2}
    assert not sides["train"] & (sides["validation"] | sides["test"])
    batches = list(module.val_dataloader())
    assert [batch.clip_ids[0] for batch in batches] == [entry.row.clip_id for entry in module.splits["validation"]]
    for batch, entry in zip(batches, module.splits["validation"], strict=True):
        assert batch.expression.shape[1] == int(batch.frames) == entry.row.frames
        assert int(batch.style) == 0
    (first, *_) = module.train_dataloader()
    assert (first.style > 0).all()
    assert module.speakers == ("", *sorted(sides["train"]))


def test_statistics_are_those_of_the_training_split(store):
    module = TalkingFaceDataModule(store, window=32)
    tracks = [entry.store.read(entry.row.clip_id) for entry in module.splits["train"]]
    expression = np.concatenate([track.coefficients.expression for track in tracks]).astype(np.float64)
    relative = np.concatenate(
        [
            track.coefficients.pose[first : first + 32][1:] - track.coefficients.pose[first]
            for track in tracks
            for first in range(0, track.frames, 32)
        ]
    ).astype(np.float64)
    mel = torch.cat([mel_for_frames(track.audio, 0, track.frames) for track in tracks], dim=1).double()
    statistics = module.statistics
    np.testing.assert_allclose(statistics.expression_mean, expression.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics.expression_std, expression.std(0), atol=1e-6)
    np.testing.assert_allclose(statistics.pose_std, np.sqrt((relative**2).mean(0)), atol=1e-6)
    np.testing.assert_allclose(statistics.mel_mean, mel.mean(1), atol=1e-5)
    np.testing.assert_allclose(statistics.mel_std, mel.std(1, correction=0), atol=1e-5)
    again = TalkingFaceDataModule(store, window=32).statistics
    assert torch.equal(again.expression_std, statistics.expression_std)


def test_stores_are_mixed_by_weight(make_store):
    one = make_store("one", [("x", 320, "a"), ("y", 320, "b")])
    two = make_store("two", [("x", 320, "c"), ("z", 320, "d")])
    split = SplitConfig(validation_fraction=0, test_fraction=0)
    module = TalkingFaceDataModule([str(one), StoreSource(str(two), weight=0.25)], window=32, batch_size=5, split=split)
    draws = list(module.train_dataloader().sampler)
    counts = np.bincount([draw.clip for draw in draws], minlength=4)
    np.testing.assert_allclose(counts, [10, 10, 2.5, 2.5], atol=0.51)
    fixed = TalkingFaceDataModule(str(one), window=32, batch_size=1, windows_per_clip=3, split=split)
    assert np.bincount([draw.clip for draw in fixed.train_dataloader().sampler]).tolist() == [3, 3]


def test_small_stores_still_fill_a_batch(make_store):
    path = make_store(clips=[("x", 40, "a")])
    module = TalkingFaceDataModule(str(path), window=32, batch_size=8)
    assert len(list(module.train_dataloader())) == 1


def test_limits_take_evenly_spaced_clips(store):
    module = TalkingFaceDataModule(store, split=SplitConfig(limit_clips=3, limit_validation_clips=1))
    assert len(module.splits["train"]) == 3
    assert len(module.splits["validation"]) == 1


def test_emotions_have_an_index(make_store, make_track):
    names = ["happy", "neutral", "", "angry"]
    tracks = [make_track(f"c{index}", 20, emotion=name) for index, name in enumerate(names)]
    split = SplitConfig(validation_fraction=0, test_fraction=0)
    module = TalkingFaceDataModule(str(make_store(clips=tracks)), split=split)
    assert module.emotions == ("neutral", "angry", "happy")
    dataset = module.train_dataloader().dataset
    assert [int(dataset[index].emotion) for index in range(4)] == [2, 0, 0, 1]


def test_what_the_user_got_wrong_is_said(store, make_store, make_track):
    with pytest.raises(ConfigError, match=r"data\.store is empty"):
        TalkingFaceDataModule("")
    with pytest.raises(ConfigError, match="needs 1 numbers"):
        store_sources(store, weights=[1, 2])
    with pytest.raises(ConfigError, match="0 or more"):
        TalkingFaceDataModule(StoreSource(store, weight=-1))
    with pytest.raises(ConfigError, match="no clip to train on"):
        TalkingFaceDataModule(store_sources(store, weights=[0])).train_dataloader()
    track = make_track("a", 20)
    other = replace(track, coefficients=track.coefficients.with_(face_model="bfm2009"))
    with pytest.raises(DataError, match="different face models"):
        TalkingFaceDataModule([store, str(make_store("other", [other]))]).setup()
    with pytest.raises(DataError, match="no clip to train on"):
        TalkingFaceDataModule(str(make_store("test", [make_track("a", 20, split="test")]))).setup("fit")


def test_stores_of_different_trackers_are_warned_of(tmp_path, make_track, caplog):
    for name, tracker in (("one", "mediapipe 1234"), ("other", "face.task 5678"), ("unknown", "")):
        with TrackStoreWriter(tmp_path / name) as writer:
            writer.commit([replace(write_clip(tmp_path / name, make_track(name, 60)), tracker=tracker)])
            writer.finish()
    assert len(TalkingFaceDataModule([tmp_path / "one", tmp_path / "unknown"]).stores) == 2
    assert "different models" not in caplog.text
    assert len(TalkingFaceDataModule([tmp_path / "one", tmp_path / "other"]).stores) == 2
    assert "different models (face.task 5678, mediapipe 1234)" in caplog.text


def test_defaults_are_those_of_the_configuration(store):
    module, config = TalkingFaceDataModule(store), DataConfig()
    for options in (module, module.split, module.augmentation):
        shared = vars(options).keys() & vars(config).keys()
        assert shared
        assert {name: getattr(options, name) for name in shared} == {name: getattr(config, name) for name in shared}


def test_batches_move_and_join(store):
    dataset = dataset_of(store, window=16)
    items = [dataset[WindowDraw(index, 0, index)] for index in range(3)]
    batch = collate(items)
    assert len(batch) == 3
    assert batch.clip_ids == tuple(item.clip_ids[0] for item in items)
    moved = batch.to("meta")
    tensors = [value for field in fields(moved) if isinstance(value := getattr(moved, field.name), torch.Tensor)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.clip_ids == batch.clip_ids


def test_one_speaker_is_divided_by_time(make_store, make_track):
    path = make_store(clips=[make_track("talk", 400), make_track("walk", 200)])
    split = SplitConfig(split_by="time", validation_fraction=0.2, test_fraction=0.1)
    module = TalkingFaceDataModule(str(path), split=split, window=32)
    sides = {
        split: [(entry.row.clip_id, entry.row.frames) for entry in entries] for split, entries in module.splits.items()
    }
    # The border at frame 420 is moved to the end of the first clip.
    assert sides == {"train": [("talk", 400)], "validation": [("walk", 140)], "test": [("walk", 60)]}
    (batch,) = module.val_dataloader()
    whole = module.stores[0].read("walk")
    entry = module.splits["validation"][0]
    begin = 200 - 60 - entry.row.frames
    np.testing.assert_array_equal(batch.expression[0], whole.coefficients.expression[begin : begin + entry.row.frames])
    part = entry.read()
    np.testing.assert_array_equal(part.audio, whole.audio[begin * 640 : (begin + entry.row.frames) * 640])
    # Its audio ends where it ends: the test part is not heard.
    assert torch.equal(batch.mel[0], mel_for_frames(part.audio, 0, part.frames))


def test_augmented_windows_repeat_and_the_face_stays(store):
    options = {"window": 40, "batch_size": 4, "seed": 3}
    augmented = WindowAugmentation(babble=0.5, reverberation=0.5, codec=0.5, pitch=0.5)
    plain, one, two, loaded = (
        list(TalkingFaceDataModule(store, augmentation=augmentation, workers=workers, **options).train_dataloader())
        for augmentation, workers in ((WindowAugmentation.none(), 0), (augmented, 0), (augmented, 0), (augmented, 2))
    )
    for before, first, second, third in zip(plain, one, two, loaded, strict=True):
        assert_same(first, second)
        assert_same(first, third)
        assert torch.equal(before.expression, first.expression)
        assert not torch.equal(before.mel, first.mel)


def test_spawned_workers_load_the_same_windows(store, monkeypatch):
    """macOS and Windows spawn the workers, which then get the dataset pickled."""
    augmentation = WindowAugmentation(
        babble=0.5,
        reverberation=0.5,
        codec=0.5,
        pitch=0.5,
        speed=0.1,
        silent_runs=SilentRuns(builtin_face_model(), 0.5),
    )
    options = {"window": 40, "batch_size": 4, "seed": 3, "augmentation": augmentation}
    here = TalkingFaceDataModule(store, **options)
    monkeypatch.setattr(datamodule, "_START_METHOD", "spawn")
    spawned = TalkingFaceDataModule(store, workers=1, **options)
    for first, second in zip(here.train_dataloader(), spawned.train_dataloader(), strict=True):
        assert_same(first, second)
    for first, second in zip(here.val_dataloader(), spawned.val_dataloader(), strict=True):
        assert_same(first, second)


class _Recorder(pl.LightningModule):
    """Trains on nothing, and writes down what it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen, self.validated = [], []

    def training_step(self, batch, batch_index):
        self.seen.append((self.current_epoch, batch.clip_ids, tuple(batch.first_frame.tolist())))
        return self.weight.sum()

    def validation_step(self, batch, batch_index):
        self.validated.append(batch.clip_ids[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class _Stop(pl.Callback):
    """Writes a checkpoint after some steps, in the middle of an epoch."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def _trainer(tmp_path, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **quiet,
        **options,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_resumes_with_the_very_next_batch(store, tmp_path, workers):
    options = {"window": 32, "batch_size": 4, "workers": workers}
    straight = _Recorder()
    _trainer(tmp_path, max_epochs=3).fit(straight, datamodule=TalkingFaceDataModule(store, **options))
    per_epoch = len(straight.seen) // 3
    stop = per_epoch + per_epoch // 2
    stopped = _Recorder()
    path = tmp_path / "stop.ckpt"
    _trainer(tmp_path, max_steps=stop, callbacks=[_Stop(stop, path)]).fit(
        stopped, datamodule=TalkingFaceDataModule(store, **options)
    )
    assert stopped.seen == straight.seen[:stop]
    resumed = _Recorder()
    _trainer(tmp_path, max_epochs=3).fit(
        resumed, datamodule=TalkingFaceDataModule(store, **options), ckpt_path=path, weights_only=True
    )
    assert resumed.seen == straight.seen[stop:]
    module = TalkingFaceDataModule(store, **options)
    module.setup()
    assert sorted(set(resumed.validated)) == sorted(entry.row.clip_id for entry in module.splits["validation"])


class Collecting(pl.LightningModule):
    """Keeps what the training and validation loaders gave."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.batches = []

    def training_step(self, batch, index):
        self.batches.append(batch)
        return self.layer(batch.blink.mean()[None]).sum()

    def validation_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def test_overfit_batches_trains_on_the_same_windows_again(store, tmp_path):
    """Lightning puts a sampler of its own in place of the DataModule's, which asks for whole clips."""
    module = Collecting()
    data = TalkingFaceDataModule(store, window=40, batch_size=2, augmentation=WindowAugmentation.none())
    trainer = pl.Trainer(
        overfit_batches=2,
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=data)
    assert [batch.expression.shape for batch in module.batches] == [(2, 40, 64)] * 4
    assert_same(module.batches[0], module.batches[2])
    assert_same(module.batches[1], module.batches[3])
    assert module.batches[0].clip_ids != module.batches[1].clip_ids


def test_every_store_of_a_mixture_must_leave_someone_to_train_on(make_store, make_track):
    hdtf = make_store("hdtf", [(f"h{index}", 60, f"film{index}") for index in range(4)])
    clips = [
        make_track(f"m{index}{split}", 60, speaker=f"M{index}", split=split)
        for index in range(3)
        for split in ("", "test")
    ]
    mead = make_store("mead", clips)
    with pytest.raises(DataError, match="have 3 speakers in two splits"):
        _ = TalkingFaceDataModule([hdtf, mead]).splits
    shared = TalkingFaceDataModule([hdtf, mead], split=SplitConfig(allow_shared_speakers=True))
    assert any(entry.row.clip_id.startswith("m") for entry in shared.splits["train"])


def test_a_process_without_a_validation_clip_gets_one_that_counts_nowhere(store, monkeypatch):
    data = TalkingFaceDataModule(store, split=SplitConfig(limit_validation_clips=2))
    seen = []
    for rank in range(4):
        monkeypatch.setattr(data, "_rank_and_world", lambda rank=rank: (rank, 4))
        (batch,) = data.val_dataloader()
        seen.append((batch.clip_ids[0], bool(batch.valid.any())))
        assert len(list(data.predict_dataloader())) == len(range(rank, len(data.splits["test"]), 4))
    assert [valid for _, valid in seen] == [True, True, False, False]
    assert len({clip for clip, valid in seen if valid}) == 2
    assert [clip for clip, valid in seen if not valid] == ["", ""]
