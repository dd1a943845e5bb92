"""From each corpus in its own layout, built from short synthetic videos, to a store."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from expnet.audio.wave import write_wav
from expnet.coefficients import FaceCoefficients
from expnet.data.corpora import PixelBox, SourceVideo
from expnet.data.preprocess import clip_maker
from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions
from expnet.data.preprocess.coefficient_tracks import read_coefficient_track
from expnet.data.preprocess.sync_offset import OffsetEstimate, OffsetPolicy
from expnet.data.preprocess.videos import preprocess
from expnet.data.store.manifest import UnusableClipError
from expnet.data.store.track_store import TrackStore
from expnet.face.camera import project
from expnet.face.face_model_data import FaceModelData
from expnet.face.morphable import MorphableModel, builtin_face_model
from expnet.face.tracker import LandmarkTrack
from expnet.formats.coefficient_files import BASEL_FACE_MODEL, CoefficientFile, write_coefficient_file
from expnet.media.video_reader import write_video

HEIGHT, WIDTH = 96, 192
FACE_HALF = 16


def picture(x, *, y=48, decoy=None):
    """A grey image with a white square for a face, and possibly another square beside it."""
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    for centre in (x, *([] if decoy is None else [decoy])):
        image[y - FACE_HALF : y + FACE_HALF, centre - FACE_HALF : centre + FACE_HALF] = 255
    return image


class SquareTracker:
    """Takes the white pixels for the mean face of the built-in model."""

    def track(self, frames):
        face = np.zeros((478, 3), np.float32)
        face[:468] = builtin_face_model().mean.numpy() * (1, -1, -1)
        points, found, shape = [], [], (0, 0)
        for frame in frames:
            rows, columns = np.nonzero(frame[..., 1] > 180)
            found.append(len(rows) > 200)
            points.append(face * np.sqrt(len(rows)) + ((columns.mean(), rows.mean(), 0) if found[-1] else 0))
            shape = frame.shape[:2]
        return LandmarkTrack(np.array(points, np.float32), np.array(found), shape)


@pytest.fixture(autouse=True)
def square_tracker(monkeypatch):
    monkeypatch.setattr(clip_maker, "open_tracker", lambda spec: SquareTracker())


def tone(seconds, *, click_at=None):
    """A quiet tone, and perhaps a loud click of one frame."""
    samples = (0.1 * np.sin(np.arange(int(seconds * 16000)) * 0.2)).astype(np.float32)
    if click_at is not None:
        samples[round(click_at * 16000) :][:640] = 0.9
    return samples


def film(path, xs, *, audio=None, decoy=None, fps=25.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [picture(x, decoy=decoy) for x in xs], fps=fps, audio=audio)
    return path


def sound(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, samples)
    return path


def run(root, store, **options):
    preprocess(root, store, workers=0, progress=False, **options)
    return TrackStore(store)


def moves_at(track):
    """First frame at which the face has moved by more than two pixels."""
    return int(np.argmax(np.abs(np.diff(track.landmarks[:, 30, 0])) > 2)) + 1


def clicks_at(track):
    """First frame in which the click is heard."""
    return int(np.argmax(np.abs(track.audio) > 0.5)) // 640


def test_hdtf_part_and_crop_and_sound_apart(tmp_path):
    """An 8 s film; the face of clip 1 moves and its audio clicks at second 5. The crop excludes another face."""
    root = tmp_path / "hdtf"
    film(root / "WDA_Amy0.mp4", [40] * 50 + [60] * 75 + [64] * 75, decoy=150)
    sound(root / "audio" / "WDA_Amy0.wav", tone(8, click_at=5))
    lines = {
        "annotion_time": ["Amy0.mp4 00:00-00:02 00:02-00:07", "Ben.mp4 00:01-00:03"],
        # The crops count in frames of 192 rows, and those of the film have half as many.
        "crop_wh": ["Amy0_0.mp4 0 192 0 192", "Amy0_1.mp4 32 176 0 176", "Ben_0.mp4 0 9 0 9"],
        "crop_ratio": ["Amy0_0.mp4 1", "Amy0_1.mp4 1", "Ben_0.mp4 1"],
        "resolution": ["Amy0.mp4 192", "Ben.mp4 192", "Cid.mp4 720"],
        "video_url": ["Amy0 https://a", "Ben https://b"],
    }
    for kind, contents in lines.items():
        (root / f"WDA_{kind}.txt").write_text("\n".join(contents) + "\n")
    summary = preprocess(root, tmp_path / "store", corpus="hdtf", workers=0, progress=False)
    store = TrackStore(tmp_path / "store")
    first, second = (store.read(f"WDA_Amy0_00{number}") for number in (0, 1))
    assert (first.frames, second.frames) == (50, 125)
    assert (first.source_start, second.source_start) == (0.0, 2.0)
    assert second.frame_size == (HEIGHT, WIDTH)
    assert np.median(second.landmarks[:, :, 0]) == pytest.approx(60, abs=6)  # in pixels of the whole frame
    assert moves_at(second) == clicks_at(second) == 75
    assert [row.source_part for row in store.rows] == ["0.00-2.00", "2.00-7.00"]
    (missing,) = store.dropped
    assert (missing.clip_id, missing.drop_reason) == (
        "WDA_Ben_000",
        "video cannot be read: No such file or directory",
    )
    assert [problem.rpartition("/")[2] for problem in summary.problems] == [
        "WDA_resolution.txt:3: Cid has no line in WDA_annotion_time.txt"
    ]
    text = str(summary)
    assert "1 lines and files of the corpus that could not be used:" in text
    assert "terms of HDTF: " in text
    again = preprocess(root, tmp_path / "store", corpus="hdtf", workers=0, progress=False)
    assert (again.already_done, again.clips) == (3, 2)


def test_cut_clips_take_the_film_s_sound_from_their_second_on(tmp_path):
    root = tmp_path / "hdtf"
    film(root / "WDA_Amy_000.mp4", [40] * 25 + [44] * 50)
    sound(root / "audio" / "Amy.wav", tone(9, click_at=6))
    for kind, line in {"annotion_time": "Amy.mp4 00:05-00:08", "crop_wh": "Amy_0.mp4 0 9 0 9"}.items():
        (root / f"WDA_{kind}.txt").write_text(line)
    track = run(root, tmp_path / "store", corpus="hdtf").read("WDA_Amy_000")
    assert track.frames == 75
    assert moves_at(track) == clicks_at(track) == 25


def test_mead_sound_apart_and_sound_missing(tmp_path):
    actor = tmp_path / "mead" / "M003"
    for number in ("001", "002", "003"):
        film(actor / "video" / "front" / "happy" / "level_3" / f"{number}.mp4", [60] * 60, fps=30.0)
    film(actor / "video" / "top" / "happy" / "level_3" / "002.mp4", [60] * 60, audio=tone(2), fps=30.0)
    sound(actor / "audio" / "happy" / "level_3" / "001.wav", tone(2))
    sound(actor / "audio" / "happy" / "level_3" / "003.wav", tone(2))
    store = run(tmp_path / "mead", tmp_path / "store", corpus="mead")
    assert {row.clip_id: (row.frames, row.emotion, row.level, row.split) for row in store.rows} == {
        "M003_front_happy_level3_001": (50, "happy", 3, "test"),
        "M003_front_happy_level3_003": (50, "happy", 3, "test"),
        "M003_top_happy_level3_002": (50, "happy", 3, "test"),  # has an audio stream
    }
    assert [(row.clip_id, row.drop_reason) for row in store.dropped] == [
        (
            "M003_front_happy_level3_002",
            "no audio: the file has no audio stream, and 002.m4a is not there",
        )
    ]


def test_lrs3_long_items_become_parts_that_fit_together(tmp_path):
    path = tmp_path / "lrs3" / "pretrain" / "talk" / "00001.mp4"
    film(path, [60] * 300 + [66] * 150, audio=tone(18, click_at=12))
    words = [(0.2, 6.0), (6.0, 11.0), (11.6, 17.5)]
    rows = [f"W {start} {end} 3.0" for start, end in words]
    path.with_suffix(".txt").write_text("\n".join(["Text: W W W", "Conf: 3", "", "WORD START END ASDSCORE", *rows]))
    store = run(tmp_path / "lrs3", tmp_path / "store", corpus="lrs3")
    first, second = (store.read(f"pretrain_talk_00001_0{number}") for number in (0, 1))
    assert (first.frames, second.frames) == (round(11.3 * 25), 450 - round(11.3 * 25))
    assert first.frames + second.frames == 450
    assert (round(second.source_start * 25), second.speaker) == (first.frames, "talk")
    assert moves_at(second) == clicks_at(second) == 300 - first.frames


def test_a_part_behind_the_end_and_a_crop_outside_are_reasons(tmp_path):
    path = film(tmp_path / "a.mp4", [60] * 50, audio=tone(2))
    maker = ClipMaker(tmp_path / "store", ClipOptions())
    video = SourceVideo(path, "a", "anna", start=1.0, end=4.0)

    def reason(**changes):
        (row,) = maker(replace(video, **changes))
        return row.drop_reason

    assert maker(video)[0].frames == 25  # the film ends before the part does
    assert reason(start=5.0, end=6.0) == "video ends early: it has no frame at second 5"
    longer = sound(tmp_path / "longer.wav", tone(9))
    assert reason(start=5.0, end=6.0, audio=longer) == "video ends early: it has no frame at second 5"
    outside = PixelBox(100, 0, 96, 96)
    assert reason(crop=outside).startswith("crop outside the frame: it ends at column 196 and row 96 of 192 x 96")


def test_a_part_behind_the_end_of_the_video_is_not_called_silent(tmp_path):
    path = film(tmp_path / "a.mp4", [60] * 50, audio=tone(2))
    (row,) = ClipMaker(tmp_path / "store", ClipOptions())(SourceVideo(path, "a", "anna", start=4.0, end=6.0))
    assert row.drop_reason == "video ends early: it has no frame at second 4"
    longer = film(tmp_path / "b.mkv", [60] * 150, audio=tone(2))
    (row,) = ClipMaker(tmp_path / "store", ClipOptions())(SourceVideo(longer, "b", "anna", start=4.0, end=6.0))
    assert row.drop_reason == "no audio: it ends before second 4"


def coefficients(frames, fps=25.0, **changes):
    generator = np.random.default_rng(frames)
    values = {
        "expression": generator.normal(size=(frames, 64)),
        "rotation": generator.normal(size=(frames, 3)) * 0.1,
        "translation": generator.normal(size=(frames, 3)) * 0.1,
        "fps": fps,
        "face_model": BASEL_FACE_MODEL,
    }
    return FaceCoefficients(**{**values, **changes})


def full(frames, **changes):
    """All 257 coefficients, identity and texture the same in all frames."""
    generator = np.random.default_rng(1)
    return coefficients(
        frames,
        identity=np.repeat(generator.normal(size=(1, 80)), frames, axis=0),
        texture=np.repeat(generator.normal(size=(1, 80)), frames, axis=0),
        illumination=np.repeat(generator.normal(size=(1, 27)), frames, axis=0),
        **changes,
    )


def test_coefficient_tracks_without_video(tmp_path):
    root = tmp_path / "tracks"
    generated, aligned, tracked = coefficients(60), full(75), full(90, crop=np.tile((128.0, 120.0, 200.0), (90, 1)))
    root.mkdir()
    write_coefficient_file(root / "art##hello.mat", CoefficientFile(generated, "sadtalker70"))
    write_coefficient_file(root / "aligned.mat", CoefficientFile(aligned, "deep3d257"))
    write_coefficient_file(root / "tracked.mat", CoefficientFile(tracked, "pirender", (256, 256)))
    write_coefficient_file(root / "mute.mat", CoefficientFile(generated, "sadtalker70"))
    write_coefficient_file(root / "odd.mat", CoefficientFile(generated, "sadtalker70"))
    (root / "torn.mat").write_bytes(b"MATLAB 5.0 and no more")
    sound(root / "hello.wav", tone(60 / 25))
    sound(root / "audio" / "aligned.wav", tone(75 / 25))
    sound(root / "wav" / "tracked.wav", tone(90 / 30))
    sound(root / "odd.wav", tone(11.0))
    sound(root / "torn.wav", tone(2.0))
    (root / "manifest.csv").write_text("file,speaker,emotion\naligned.mat,anna,happy\n")
    store = run(root, tmp_path / "store", corpus="mat")
    assert {row.clip_id: (row.speaker, row.frames, row.face_model) for row in store.rows} == {
        "aligned": ("anna", 75, "bfm2009"),
        "art##hello": ("art", 60, "bfm2009"),
        "tracked": ("tracked", 75, "bfm2009"),  # 30 frames/s, as its audio tells
    }
    track = store.read("aligned")
    np.testing.assert_array_equal(track.coefficients.expression, aligned.expression)
    np.testing.assert_array_equal(track.coefficients.translation, aligned.translation)
    np.testing.assert_allclose(track.coefficients.identity, aligned.identity[0], rtol=1e-6)
    assert track.emotion == "happy"
    assert not track.landmarks.any()
    assert not store.read("art##hello").coefficients.identity.any()  # the mean face
    resampled = tracked.with_(fps=30.0).resampled(25.0)
    np.testing.assert_allclose(store.read("tracked").coefficients.expression, resampled.expression, atol=1e-6)
    np.testing.assert_allclose(store.read("tracked").coefficients.crop, (128.0, 120.0, 200.0), rtol=1e-5)
    reasons = {row.clip_id: row.drop_reason for row in store.dropped}
    assert reasons["mute"] == "no audio: the file has no audio stream"
    assert reasons["odd"].startswith("frame rate unknown: 60 frames and 11.00 s of audio fit none of 23.976, ")
    assert reasons["torn"].startswith("track cannot be read: is not a MATLAB 5 .mat file")


def test_a_frame_rate_in_the_manifest_counts(tmp_path):
    root = tmp_path / "tracks"
    root.mkdir()
    write_coefficient_file(root / "a.mat", CoefficientFile(coefficients(60), "sadtalker70"))
    sound(root / "a.wav", tone(4.0))
    (root / "manifest.csv").write_text("file,speaker,fps\na.mat,anna,15\n")
    assert run(root, tmp_path / "store", corpus="mat").row("a").frames == 100


def test_a_folder_of_images_is_one_track(tmp_path):
    folder = tmp_path / "tracks" / "anna"
    folder.mkdir(parents=True)
    whole = full(30)
    for index in range(30):
        write_coefficient_file(folder / f"{index + 1:06d}.mat", CoefficientFile(whole[index], "deep3d_image"))
    sound(tmp_path / "tracks" / "anna.wav", tone(30 / 25))
    track = run(tmp_path / "tracks", tmp_path / "store", corpus="mat").read("anna")
    np.testing.assert_array_equal(track.coefficients.expression, whole.expression)


def test_landmarks_need_the_face_model_of_the_coefficients(tmp_path):
    generator = torch.Generator().manual_seed(0)
    shape = (68, 3)
    arrays = FaceModelData(
        torch.randn(shape, generator=generator) * 0.3,
        torch.randn((*shape, 80), generator=generator) * 0.01,
        torch.randn((*shape, 64), generator=generator) * 0.01,
        torch.tensor([[0, 1, 2]]),
        torch.arange(68),
        name=BASEL_FACE_MODEL,
    )
    model = MorphableModel(arrays)
    crop = np.linspace((100.0, 90.0, 180.0), (140.0, 110.0, 220.0), 50)  # moves from frame to frame
    tracked = full(50, crop=crop)
    write_coefficient_file(tmp_path / "a.mat", CoefficientFile(tracked, "pirender", (256, 256)))
    video, samples = SourceVideo(tmp_path / "a.mat", "a", "anna"), tone(2)
    track = read_coefficient_track(video, samples, model).validate()
    frame = 30
    expected = project(
        model.landmarks(torch.from_numpy(tracked.identity[0]), torch.from_numpy(tracked.expression[frame])),
        torch.from_numpy(tracked.rotation[frame]),
        torch.from_numpy(tracked.translation[frame]),
        torch.from_numpy(crop[frame]).float(),
    )
    np.testing.assert_allclose(track.landmarks[frame], expected.numpy(), atol=1e-2)
    assert track.coefficients.crop is None  # there is no single one
    assert not read_coefficient_track(video, samples).landmarks.any()
    with pytest.raises(UnusableClipError, match="another face model: bfm2009, but mediapipe468 was given"):
        read_coefficient_track(video, samples, builtin_face_model())


@pytest.mark.parametrize(
    ("action", "max_offset", "status", "shift"),
    [("keep", 1, "ok", 0), ("drop", 1, "dropped", 0), ("drop", 3, "ok", 0), ("correct", 1, "ok", -3)],
)
def test_what_is_done_with_late_sound(tmp_path, monkeypatch, action, max_offset, status, shift):
    """The face moves at frame 30 and the click comes three frames late."""
    monkeypatch.setattr("expnet.data.preprocess.sync_offset.estimate_offset", lambda *_: OffsetEstimate(-3, 0.95))
    film(tmp_path / "videos" / "a.mp4", [60] * 30 + [66] * 30, audio=tone(60 / 25, click_at=33 / 25))
    film(tmp_path / "videos" / "b.mp4", [60] * 60, audio=tone(60 / 25))
    policy = OffsetPolicy(action, max_offset)
    if status == "dropped":
        with pytest.raises(Exception, match="audio late: by 3 frames"):
            run(tmp_path / "videos", tmp_path / "store", offset=policy)
        return
    store = run(tmp_path / "videos", tmp_path / "store", offset=policy)
    row, track = store.row("a"), store.read("a")
    assert (row.sync_offset, row.sync_confidence, row.sync_shift) == (-3, 0.95, shift)
    assert moves_at(track) == 30
    assert clicks_at(track) == 33 + shift
    assert track.frames == 60 + shift  # the last frames have no audio left
