"""Training pairs of the refiner: made once, written atomically, and split by speaker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expnet.config import load_config
from expnet.data.clip_entry import ClipEntry
from expnet.data.sampling import WindowDraw
from expnet.data.source_frames import read_frames
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import DataError
from expnet.face.fitting import fit_clip
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import track_image
from expnet.media.video_reader import read_video, write_video
from expnet.models.saved_model import load_model
from expnet.render.refiner import training_pairs as region_pairs
from expnet.render.refiner.datamodule import RegionDataModule, RegionDataset, change_colours, mirror
from expnet.render.refiner.training_pairs import PairSettings, make_pairs, prepare_clips
from expnet.training.main import train

SETTINGS = PairSettings(kinds=("mouth", "eye"), size=32, portraits=2, frames=3)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Track:
    """A clip of the astronaut that becomes brighter and whose jaw drops according to its track."""
    from skimage.data import astronaut

    picture = astronaut()[:256, 80:336]
    video = tmp_path_factory.mktemp("film") / "astronaut.mp4"
    write_video(video, [np.clip(picture.astype(int) + 4 * index, 0, 255).astype(np.uint8) for index in range(8)])
    frame = next(iter(read_video(video, fps=25.0)))
    points, model = track_image(frame).points, builtin_face_model()
    fit = fit_clip(model, points)
    basis = model.expression_basis.numpy()
    direction = basis[13, 1] - basis[14, 1]
    opening = np.linspace(0, 0.15, 8)[:, None] * direction / (direction @ direction)
    return Track(
        clip_id="astronaut",
        speaker="astronaut",
        coefficients=fit.with_(
            expression=fit.expression + opening.astype(np.float32),
            rotation=np.repeat(fit.rotation, 8, axis=0),
            translation=np.repeat(fit.translation, 8, axis=0),
            identity=np.atleast_2d(fit.identity)[0],
            crop=np.atleast_2d(fit.crop)[0],
        ),
        landmarks=np.repeat(points[:, list(LANDMARKS_68_FROM_MEDIAPIPE), :2], 8, axis=0),
        valid=np.ones(8, bool),
        audio=np.zeros(8 * 640, np.float32),
        source=str(video),
        frame_size=(256, 256),
    )


@pytest.fixture(scope="module")
def store(filmed: Track, tmp_path_factory: pytest.TempPathFactory) -> TrackStore:
    """Three speakers, one with two clips and one without a video."""
    path = tmp_path_factory.mktemp("data") / "store"
    with TrackStoreWriter(path) as writer:
        for name, speaker, split in (("a1", "a", "train"), ("a2", "a", "train"), ("b", "b", "validation")):
            writer.add(replace(filmed, clip_id=name, speaker=speaker, split=split))
        writer.add(replace(filmed, clip_id="lost", speaker="c", split="train", source="nowhere.mp4"))
        writer.finish()
    return TrackStore(path)


@pytest.fixture(scope="module")
def pairs(filmed: Track) -> dict[str, np.ndarray]:
    return make_pairs(filmed, builtin_face_model(), SETTINGS)


def test_pairs_hold_the_rendered_and_the_real_frame(filmed: Track, pairs: dict[str, np.ndarray]) -> None:
    count = len(pairs["gates"])
    assert 4 <= count <= 6  # two portraits are driven to three frames, except to themselves
    assert pairs["inputs"].shape == (count, 3, 10, 32, 32)
    assert pairs["targets"].shape == (count, 3, 3, 32, 32)
    assert pairs["gates"].min() >= 0
    assert pairs["gates"].max() <= 1
    assert pairs["gates"][:, 0].max() > 0.9  # a dropped jaw
    # The first frame is filmed 28 grey levels darker than the last, whichever portrait is driven to it.
    brightness = pairs["targets"][:, 0].mean(axis=(1, 2, 3)).reshape(2, -1)
    assert (brightness[:, -1] - brightness[:, 0] > 12).all()


def test_frames_are_read_by_their_number(filmed: Track) -> None:
    frames = read_frames(filmed, np.array([1, 6]))
    assert sorted(frames) == [1, 6]
    assert frames[6].mean() - frames[1].mean() > 12
    with pytest.raises(DataError, match="ends before"):
        read_frames(filmed, np.array([99]))
    with pytest.raises(DataError, match="is not here"):
        read_frames(replace(filmed, source="nowhere.mp4"), np.array([0]))


def test_files_are_made_once_and_whole(
    store: TrackStore, pairs: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def made_pairs(track: Track, *_: object) -> dict[str, np.ndarray]:
        made.append(track.clip_id)
        if track.clip_id == "a2" and len(made) == 2:
            raise KeyboardInterrupt
        return pairs

    monkeypatch.setattr(region_pairs, "make_pairs", made_pairs)
    entries = [ClipEntry(store, row) for row in store.rows if row.clip_id != "lost"]
    with pytest.raises(KeyboardInterrupt):
        prepare_clips(entries, tmp_path, SETTINGS)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["a1"]
    files = prepare_clips(entries, tmp_path, SETTINGS)
    assert made == ["a1", "a2", "a2", "b"]
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    assert prepare_clips(entries, tmp_path, SETTINGS) == files
    assert len(made) == 4
    prepare_clips(entries, tmp_path, replace(SETTINGS, frames=4))
    assert len(made) == 7


def test_speakers_are_in_one_split_and_sampled_equally_often(
    store: TrackStore, pairs: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    def made_pairs(track: Track, *_: object) -> dict[str, np.ndarray]:
        if track.clip_id == "lost":
            raise DataError("the video nowhere.mp4 is not here")
        return pairs

    monkeypatch.setattr(region_pairs, "make_pairs", made_pairs)
    data = RegionDataModule(store.files.location, crops=str(tmp_path), pairs=SETTINGS, batch_size=2)
    data.prepare_data()
    assert "lost is left out" in caplog.text
    drawn = [name for batch in data.train_dataloader() for name in batch.clip_ids]
    assert {"a1", "a2"} == set(drawn)
    assert abs(drawn.count("a1") - drawn.count("a2")) <= 2
    (whole,) = data.val_dataloader()
    assert set(whole.clip_ids) == {"b"}
    assert len(whole) == len(pairs["gates"])
    limited = RegionDataModule(store.files.location, crops=str(tmp_path), pairs=SETTINGS, clips_per_speaker=1)
    assert {name for batch in limited.train_dataloader() for name in batch.clip_ids} == {"a1"}


def test_the_shipped_configuration_trains_a_step(
    store: TrackStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXPNET_RUN", raising=False)
    small = ["model.size=32", "model.width=4", "data.batch_size=2", "trainer.max_steps=1", "trainer.validate_every=1"]
    folders = [f"data.store={store.files.location}", f"data.crops={tmp_path / 'crops'}", f"output={tmp_path / 'run'}"]
    run = train(load_config(["configs/refiner.yaml", *folders, *small, "trainer.accelerator=cpu"]))
    assert load_model(run, "refiner").options["size"] == 32
    assert (run / "metrics.csv").read_text().count("\n") > 1


def test_draws_depend_on_their_number_alone(pairs: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    region_pairs._write(path, pairs)
    dataset = RegionDataset({"clip": path}, SETTINGS.kinds, colour=0.2, seed=3)
    first, again, other = (dataset[WindowDraw(0, 0, draw)] for draw in (5, 5, 6))
    assert first.inputs.equal(again.inputs)
    assert not first.inputs.equal(other.inputs)
    assert np.array_equal(dataset[0].inputs.numpy(), pairs["inputs"])


def test_mirroring_negates_the_horizontal_shift(pairs: dict[str, np.ndarray]) -> None:
    region = pairs["inputs"][0, 0]
    flipped = mirror(region)
    assert np.array_equal(flipped[0], region[0, :, ::-1])
    assert np.array_equal(flipped[6].astype(int), 255 - region[6, :, ::-1].astype(int))
    assert np.array_equal(flipped[7], region[7, :, ::-1])
    assert np.array_equal(mirror(flipped), region)


def test_colours_change_alike_in_rendered_and_real_frames() -> None:
    colours = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(10, axis=1)
    inputs, targets = colours.copy(), colours[:, :3].copy()
    change_colours(inputs, targets, 0.3, np.random.default_rng(1))
    assert np.array_equal(inputs[:, :3], targets)
    assert np.array_equal(inputs[:, 3:6], targets)
    assert np.array_equal(inputs[:, 6:], colours[:, 6:])
    assert not np.array_equal(targets, colours[:, :3])
    assert (np.diff(targets[0].reshape(3, -1).astype(int)) >= 0).all()
    still = colours[:, :3].copy()
    change_colours(colours.copy(), still, 0.0, np.random.default_rng(1))
    assert np.array_equal(still, colours[:, :3])
