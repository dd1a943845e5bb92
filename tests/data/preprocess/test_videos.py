import csv
import errno
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from expnet.data.corpora import SourceVideo
from expnet.data.preprocess import clip_maker
from expnet.data.preprocess import isolated_workers as workers
from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions
from expnet.data.preprocess.usable_frames import interpolate_gaps
from expnet.data.preprocess.videos import preprocess
from expnet.data.store.track import source_video
from expnet.data.store.track_store import TrackStore
from expnet.errors import DataError, InputError, MachineError, MissingAssetError
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import LandmarkTrack
from expnet.media.video_reader import write_video

CLIPS = Path(__file__).parents[4] / "shared" / "clips"
SIGNALS = {"crashes": signal.SIGSEGV, "is killed": signal.SIGKILL}
HEIGHT, WIDTH = 96, 128
FACE_HALF = 16


def picture(x, *, background=40, y=48, face=255):
    """A grey image with a white square for a face, which the tracker does not find if it is darker."""
    image = np.full((HEIGHT, WIDTH, 3), background, np.uint8)
    image[y - FACE_HALF : y + FACE_HALF, x - FACE_HALF : x + FACE_HALF] = face
    return image


def tone(seconds, rate=16000):
    return (0.3 * np.sin(np.arange(int(seconds * rate)) * 0.2)).astype(np.float32)


@dataclass
class SquareTracker:
    """Takes a white square for the mean face of the built-in model, and dies of a signal at a black image."""

    signal: int = 0

    def track(self, frames):
        mean = builtin_face_model().mean.numpy()  # (468, 3)
        face = np.zeros((478, 3), np.float32)
        face[:468] = mean[:468] * (1, -1, -1)
        points, found = [], []
        for frame in frames:
            if self.signal and frame.max() < 8:
                os.kill(os.getpid(), self.signal)
            rows, columns = np.nonzero(frame[..., 1] > 180)
            found.append(len(rows) > 200)
            centre = (columns.mean(), rows.mean(), 0) if found[-1] else (0, 0, 0)
            points.append(face * np.sqrt(len(rows)) + centre)
            shape = frame.shape[:2]
        return LandmarkTrack(np.array(points, np.float32), np.array(found), shape)


@pytest.fixture(autouse=True)
def square_tracker(monkeypatch, request):
    monkeypatch.setattr(workers, "START_METHOD", "fork")  # so that the children have this tracker too
    if "real" not in request.node.name:
        monkeypatch.setattr(clip_maker, "open_tracker", lambda spec: SquareTracker(SIGNALS.get(spec, 0)))


@pytest.fixture
def film(tmp_path):
    """Write a video of images with a tone; return its path."""

    def make(name, pictures, *, fps=25.0, audio="tone", folder="videos"):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = tone(len(pictures) / fps) if isinstance(audio, str) else audio
        write_video(path, pictures, fps=fps, audio=samples)
        return path

    return make


def track_one(path, tmp_path, **options):
    maker = ClipMaker(tmp_path / "clips", ClipOptions(**options))
    return maker(SourceVideo(path, path.stem, "anna"))


def still(frames, x=60, **options):
    return [picture(x, **options)] * frames


def test_a_folder_becomes_a_store(film, tmp_path):
    film("anna/one.mp4", [picture(40 + index) for index in range(40)])
    film("ben/two.mkv", still(60, x=70), fps=30.0)
    summary = preprocess(tmp_path / "videos", tmp_path / "store", progress=False)
    store = TrackStore(tmp_path / "store")
    assert {row.clip_id: (row.speaker, row.frames) for row in store.rows} == {
        "anna_one": ("anna", 40),
        "ben_two": ("ben", 50),
    }
    assert (summary.clips, summary.speakers, summary.frames, summary.dropped) == (2, 2, 90, {})
    assert "2 videos: 2 clips of 2 speakers, 90 frames" in str(summary)
    track = store.read("anna_one")
    track.validate()
    # The face moves by a pixel a frame, and the fit says so.
    side = track.coefficients.crop[2]
    moved = np.diff(track.coefficients.translation[:, 0]) * side * (1015 / 224) / 10
    np.testing.assert_allclose(moved, 1.0, atol=0.15)
    assert track.frame_size == (HEIGHT, WIDTH)
    assert track.fit_error < 0.02
    assert np.abs(track.audio).max() > 0.2
    assert store.row("anna_one").sha256


def test_number_of_processes_leaves_no_trace(film, tmp_path):
    for index in range(5):
        film(f"s{index % 2}/{index}.mp4", still(30 + index, x=50 + index))
    film("s0/bad.mp4", still(30, face=170))
    contents = []
    for count in (0, 1, 2):
        preprocess(tmp_path / "videos", tmp_path / f"store{count}", workers=count, progress=False)
        root = tmp_path / f"store{count}"
        contents.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    assert contents[0] == contents[1] == contents[2]


def test_cuts_split_the_video(film, tmp_path):
    path = film("a.mp4", still(30) + still(40, x=100, background=150) + still(10, x=30, background=90))
    rows = track_one(path, tmp_path)
    assert [(row.clip_id, row.status, row.frames, row.source_start) for row in rows] == [
        ("a_shot01", "ok", 30, 0.0),
        ("a_shot02", "ok", 40, 1.2),
        ("a_shot03", "dropped", 10, 2.8),
    ]
    assert rows[2].drop_reason == "shorter than 1 s: 0.40 s"


@pytest.mark.parametrize(("gap", "kept"), [(1, True), (5, True), (6, False)])
def test_short_gaps_are_filled_and_long_ones_drop_the_clip(film, tmp_path, gap, kept):
    pictures = [picture(40 + index // 2, face=170 if 20 <= index < 20 + gap else 255) for index in range(50)]
    (row,) = track_one(film("a.mp4", pictures), tmp_path)
    if not kept:
        assert row.drop_reason == "face lost: for 6 frames from 0.76 s on, at most 5 are filled"
        return
    assert (row.status, row.frames, row.interpolated) == ("ok", 50, gap)


def test_filled_points_lie_on_the_line_between():
    points = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((10, 3, 3), np.float32)
    found = np.array([1, 0, 0, 1, 1, 0, 1, 0, 0, 1], bool)
    broken = np.where(found[:, None, None], points, 0)
    np.testing.assert_allclose(interpolate_gaps(broken, found), points, atol=1e-6)


def test_frames_without_a_face_at_the_ends_are_cut_off_with_their_sound(film, tmp_path):
    samples = np.concatenate([tone(0.4) * 0, tone(1.6)])
    pictures = still(10, face=170) + still(35) + still(5, face=170)
    (row,) = track_one(film("a.mp4", pictures, audio=samples), tmp_path)
    assert (row.frames, row.source_start) == (35, 0.4)
    store = tmp_path / "store"
    preprocess(tmp_path / "videos", store, workers=0, progress=False)
    audio = TrackStore(store).read("a").audio
    assert len(audio) == 35 * 640
    assert np.abs(audio[100:900]).max() > 0.2  # the silence has gone with its frames


def test_a_clip_ends_with_its_sound(film, tmp_path):
    (row,) = track_one(film("a.mkv", still(75), audio=tone(2.0)), tmp_path)
    assert row.frames == pytest.approx(50, abs=2)
    (row,) = track_one(film("b.mkv", still(75), audio=tone(0.5)), tmp_path)
    assert row.drop_reason.startswith("shorter than 1 s: face and audio are present for 0.")


@pytest.mark.parametrize("first", [0.0, 0.2])
def test_sound_and_picture_stay_together_when_the_picture_starts_late(tmp_path, first):
    """A move and a click at 1 s of a file whose video starts at 0.2 s."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for index in range(round(first * 25), 75):
            image = picture(60 if index < 25 else 66)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = np.zeros((1, 48000), np.int16)
        samples[0, 16000:16800] = 20000
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(sound.encode(frame))
    (row,) = ClipMaker(tmp_path / "store", ClipOptions())(SourceVideo(path, "late", "anna"))
    assert row.frames == 75 - round(first * 25)
    preprocess(path, tmp_path / "finished", workers=0, progress=False)
    track = TrackStore(tmp_path / "finished").read("late")
    move = int(np.argmax(np.diff(track.landmarks[:, 0, 0]) > 3)) + 1
    click = int(np.argmax(np.abs(track.audio) > 0.3)) / 640
    assert click == pytest.approx(move, abs=0.1)


def test_what_cannot_be_used_is_a_row_with_its_reason(film, tmp_path):
    film("good.mp4", still(30))
    film("faceless.mp4", still(30, face=170))
    film("mute.mp4", still(30), audio=None)
    film("silent.mp4", still(30), audio=np.zeros(19200, np.float32))
    film("tiny.mp4", [np.ascontiguousarray(picture(60)[32:64:8, 44:76:8].repeat(4, 0).repeat(4, 1))] * 30)
    whole = film("cut.mp4", [picture(30 + index) for index in range(60)]).read_bytes()
    (tmp_path / "videos" / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "videos" / "text.mp4").write_text("this is not a video")
    (tmp_path / "videos" / "manifest.csv").write_text("file,speaker\ngone.mp4,anna\n")
    summary = preprocess(tmp_path / "videos", tmp_path / "store", progress=False)
    reasons = {row.clip_id: row.drop_reason for row in TrackStore(tmp_path / "store").dropped}
    assert summary.dropped_clips == reasons
    assert reasons["faceless"] == "no face: none was found in any frame"
    assert reasons["mute"] == "no audio: the file has no audio stream"
    assert reasons["silent"] == "no audio: the audio stream is silent"
    assert reasons["tiny"].startswith("face too small: ")
    assert reasons["text"].startswith("video cannot be read: not a video")
    assert reasons["cut"].startswith(("video cannot be read: ", "audio cannot be used: "))
    assert reasons["gone"] == "video cannot be read: No such file or directory"
    assert summary.dropped["no audio"] == 2
    assert sum(summary.dropped.values()) == 7
    assert str(tmp_path) not in "".join(reasons.values())


def test_no_usable_video_is_an_error_and_leaves_nothing(film, tmp_path):
    path = film("mute.mp4", still(30), audio=None)
    with pytest.raises(DataError, match=r"mute\.mp4 could not be used: no audio: the file has no audio stream"):
        preprocess(path, tmp_path / "store", progress=False)
    film("faceless.mp4", still(30, face=170))
    with pytest.raises(DataError, match="none of the 2 videos"):
        preprocess(tmp_path / "videos", tmp_path / "store", progress=False)
    assert not (tmp_path / "store").exists()


def test_a_video_that_crashes_its_process_does_not_end_the_run(film, tmp_path):
    for index in range(3):
        film(f"{index}.mp4", still(30))
    film("1.mp4", [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 40)
    summary = preprocess(tmp_path / "videos", tmp_path / "store", tracker="crashes", workers=2, progress=False)
    assert summary.clips == 2
    assert summary.dropped_clips["1"].startswith("the video crashes the process that reads it")


def test_a_killed_process_stops_the_run_and_drops_nothing(film, tmp_path):
    """Linux kills processes when memory runs out, whatever they are reading."""
    for index in range(3):
        film(f"{index}.mp4", still(30))
    film("1.mp4", [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 5 + still(40))
    with pytest.raises(MachineError, match=r"1\.mp4 was killed 2 times, most likely because memory ran out"):
        preprocess(tmp_path / "videos", tmp_path / "store", tracker="is killed", workers=2, progress=False)
    summary = preprocess(tmp_path / "videos", tmp_path / "store", workers=2, progress=False)
    assert (summary.clips, summary.dropped) == (3, {})


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_stops_the_run_and_drops_nothing(film, tmp_path, small_disk, workers):
    for index in range(4):
        film(f"{index}.mp4", still(75 + index))
    disk = small_disk(300)
    with pytest.raises(MachineError, match=r"store/.*: No space left on device; make room on that disk and run"):
        preprocess(tmp_path / "videos", disk / "store", workers=workers, progress=False)
    assert not [path for path in disk.rglob("*") if path.is_file() and path.name.startswith(".")]
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    summary = preprocess(tmp_path / "videos", disk / "store", workers=workers, progress=False)
    assert (summary.clips, summary.dropped) == (4, {})
    assert sorted(path.name for path in (disk / "store").iterdir()) == ["manifest.parquet", "shards"]


def test_a_disk_that_fills_up_at_the_end_of_the_run(film, tmp_path, small_disk, monkeypatch):
    """The clips fit on it, but not their shard beside them."""
    film("0.mp4", still(75))
    disk = small_disk(300)
    with pytest.raises(MachineError, match=r"store/shards/00000\.safetensors: No space left"):
        preprocess(tmp_path / "videos", disk / "store", workers=0, progress=False)
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    summary = preprocess(tmp_path / "videos", disk / "store", workers=0, progress=False)
    assert (summary.already_done, summary.clips) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.EACCES, "Permission denied", "store/incoming"),
        OSError(errno.ENOENT, "No such file or directory", "store/incoming"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_faults_of_the_machine_are_not_blamed_on_a_video(film, tmp_path, monkeypatch, fault, workers):
    film("0.mp4", still(30))
    film("1.mp4", still(40))
    write = clip_maker.write_clip

    def failing(store, clip, *, sha256):
        if clip.clip_id == "1":
            raise fault
        return write(store, clip, sha256=sha256)

    monkeypatch.setattr(clip_maker, "write_clip", failing)
    with pytest.raises(MachineError, match="run the command again"):
        preprocess(tmp_path / "videos", tmp_path / "store", workers=workers, progress=False)
    monkeypatch.setattr(clip_maker, "write_clip", write)
    summary = preprocess(tmp_path / "videos", tmp_path / "store", workers=workers, progress=False)
    assert (summary.clips, summary.dropped) == (2, {})


def test_a_file_that_may_not_be_read_is_no_dropped_clip(film, tmp_path, monkeypatch):
    path = film("0.mp4", still(30))
    film("1.mp4", still(30))

    class Forbidden(type(path)):
        def open(self, *arguments, **options):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

    video = SourceVideo(Forbidden(path), "0", "anna")
    with pytest.raises(MachineError, match=r"0\.mp4 may not be read \(Permission denied\); change its permissions"):
        ClipMaker(tmp_path / "store", ClipOptions())(video)


def test_an_unexpected_error_is_a_reason_too(film, tmp_path, monkeypatch):
    film("0.mp4", still(30))
    film("1.mp4", still(31))
    fit = clip_maker.fit_clip

    def fragile(model, points, found):
        if len(points) == 31:
            raise ZeroDivisionError("oh")
        return fit(model, points, found)

    monkeypatch.setattr(clip_maker, "fit_clip", fragile)
    summary = preprocess(tmp_path / "videos", tmp_path / "store", progress=False)
    assert summary.dropped_clips == {"1": "unexpected error: ZeroDivisionError: oh"}


def test_a_missing_tracker_is_said_and_not_blamed_on_the_videos(film, tmp_path, monkeypatch):
    def missing(spec):
        raise MissingAssetError("the tracker is not there")

    monkeypatch.setattr(clip_maker, "open_tracker", missing)
    film("0.mp4", still(30))
    with pytest.raises(MissingAssetError, match="the tracker is not there"):
        preprocess(tmp_path / "videos", tmp_path / "store", progress=False)


def test_files_that_come_later_are_done_by_the_next_run(film, tmp_path):
    film("good.mp4", still(30))
    (tmp_path / "videos" / "manifest.csv").write_text("file,speaker\nlate.mp4,anna\ncut.mp4,anna\n")
    summary = preprocess(tmp_path / "videos", tmp_path / "store", workers=0, progress=False)
    assert set(summary.dropped_clips) == {"late", "cut"}
    film("late.mp4", still(40))
    film("cut.mp4", still(30) + still(40, x=100, background=150))
    for _ in range(2):
        summary = preprocess(tmp_path / "videos", tmp_path / "store", workers=0, progress=False)
        assert (summary.clips, summary.dropped) == (4, {})
    assert summary.already_done == 3
    frames = {row.clip_id: row.frames for row in TrackStore(tmp_path / "store").rows}
    assert frames == {"good": 30, "late": 40, "cut_shot01": 30, "cut_shot02": 40}


def test_names_that_are_not_utf_8(film, tmp_path):
    path = film("one.mp4", still(30))
    folder = Path(os.fsdecode(os.fsencode(path.parent) + b"/Andr\xe9"))
    folder.mkdir()
    path.rename(folder / os.fsdecode(b"caf\xe9.mp4"))
    (folder / os.fsdecode(b"mus\xe9e.mp4")).write_text("not a video")
    summary = preprocess(tmp_path / "videos", tmp_path / "store", workers=1, progress=False)
    assert (summary.clips, list(summary.dropped_clips)) == (1, ["Andr%E9_mus%E9e"])
    str(summary).encode()
    track = TrackStore(tmp_path / "store").read("Andr%E9_caf%E9")
    assert track.speaker == "Andr%E9"
    assert source_video(track) == folder / os.fsdecode(b"caf\xe9.mp4")
    assert preprocess(tmp_path / "videos", tmp_path / "store", workers=0, progress=False).already_done == 2


@pytest.mark.parametrize("folder", ["incoming", "shards"])
def test_a_store_is_not_written_over_its_own_videos(film, tmp_path, folder):
    """A folder of videos may be called as a folder of a store is, which the store deletes when it is finished."""
    path = film("a.mp4", still(30), folder=f"videos/{folder}")
    (tmp_path / "link").symlink_to(tmp_path / "videos")
    for store in ("videos", "link"):
        with pytest.raises(InputError, match=rf"would be written over the input .*{folder}/a\.mp4; give another"):
            preprocess(tmp_path / "videos", tmp_path / store, workers=0, progress=False)
    assert path.is_file()


class StopAfter(SquareTracker):
    """Ends the whole run at the n-th video."""

    left = 3

    def track(self, frames):
        if StopAfter.left == 0:
            raise KeyboardInterrupt
        StopAfter.left -= 1
        return super().track(frames)


def test_a_stopped_run_goes_on_without_doing_anything_twice(film, tmp_path, monkeypatch):
    for index in range(6):
        film(f"{index}.mp4", still(30 + index))
    preprocess(tmp_path / "videos", tmp_path / "straight", workers=0, progress=False)
    monkeypatch.setattr(clip_maker, "open_tracker", lambda spec: StopAfter())
    with pytest.raises(KeyboardInterrupt):
        preprocess(tmp_path / "videos", tmp_path / "store", workers=0, progress=False)
    StopAfter.left = 3  # three were done, three are left: a fourth would end the run again
    summary = preprocess(tmp_path / "videos", tmp_path / "store", workers=0, progress=False)
    assert (summary.already_done, summary.clips) == (3, 6)
    again = preprocess(tmp_path / "videos", tmp_path / "store", workers=0, progress=False)
    assert (again.already_done, again.clips) == (6, 6)
    trees = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.safetensors")}
        for root in (tmp_path / "store", tmp_path / "straight")
    ]
    assert trees[0] == trees[1]


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no ../shared/clips beside the checkout")
def test_real_clip_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "START_METHOD", "spawn")
    with (CLIPS / "manifest.csv").open() as stream:
        person = {row["file"]: row["person"] for row in csv.DictReader(stream)}["grid_bbaf2n.mp4"]
    summary = preprocess(CLIPS / "grid_bbaf2n.mp4", tmp_path / "store", workers=1, progress=False)
    assert (summary.clips, summary.dropped) == (1, {})
    track = TrackStore(tmp_path / "store").read("grid_bbaf2n")
    assert track.speaker == person
    assert track.frames > 60
    assert track.valid.mean() > 0.95
    assert track.fit_error < 0.05
    assert 0.01 < np.abs(track.audio).max() <= 1
