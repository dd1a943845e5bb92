import errno
import json
import multiprocessing
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expnet.data.store.manifest import ManifestRow, write_manifest
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.data.store.writer import write_clip
from expnet.errors import DataError
from expnet.io import file_lock

CLIPS = [("b", 40, "anna"), ("a", 30, "ben"), ("d", 50, "anna"), ("c", 20, "carl")]


def tree(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_what_was_written_is_read(make_store, make_track):
    tracks = [
        make_track("a", 30, split="test", emotion="happy", level=3, language="de", source="/v/a.mp4"),
        make_track("b", 41, valid=np.arange(41) % 7 > 0, phonemes=()),
    ]
    store = TrackStore(make_store(clips=tracks))
    assert [row.clip_id for row in store.rows] == ["a", "b"]
    for track in tracks:
        again = store.read(track.clip_id)
        assert again.coefficients.equals(track.coefficients)
        np.testing.assert_array_equal(again.landmarks, track.landmarks)
        np.testing.assert_array_equal(again.valid, track.valid)
        np.testing.assert_array_equal(again.audio, track.audio)  # 16-bit values stay what they were
        assert again.phonemes == track.phonemes
        for name in ("speaker", "split", "emotion", "level", "language", "source", "frame_size", "corpus"):
            assert getattr(again, name) == getattr(track, name)
    assert store.row("b").interpolated == 6
    store.verify()


def test_a_face_without_identity_and_crop_comes_back_so(make_store, make_track):
    track = make_track("a", 30)
    track = replace(track, coefficients=track.coefficients.with_(identity=None, crop=None))
    assert TrackStore(make_store(clips=[track])).read("a").coefficients.equals(track.coefficients)


@pytest.mark.parametrize("shard_frames", [1, 60, 10_000])
def test_windows_equal_the_whole_clip_for_any_sharding(make_store, shard_frames):
    store = TrackStore(make_store(clips=CLIPS, shard_frames=shard_frames))
    assert len({row.shard for row in store.rows}) == {1: 4, 60: 3, 10_000: 1}[shard_frames]
    for row in store.rows:
        whole = store.read(row.clip_id)
        window, cut = store.read_window(row.clip_id, 3, 11), whole.window(3, 11)
        assert window.coefficients.equals(cut.coefficients)
        np.testing.assert_array_equal(window.audio, cut.audio)
        np.testing.assert_array_equal(window.landmarks, cut.landmarks)
        assert window.phonemes == cut.phonemes
        np.testing.assert_array_equal(store.read_audio(row, 3, 11), cut.audio)
        np.testing.assert_array_equal(store.read_audio(row, -5, row.frames + 9), whole.audio)
    with pytest.raises(IndexError):
        store.read_window("c", 10, 11)


def test_the_order_of_writing_leaves_no_trace(make_store, make_track):
    tracks = [make_track(name, 20, seed=index) for index, name in enumerate("abc")]
    assert tree(make_store("one", tracks)) == tree(make_store("two", tracks[::-1]))


def test_dropped_clips_are_rows_with_a_reason(tmp_path, make_track):
    with TrackStoreWriter(tmp_path / "store") as writer:
        writer.add(make_track("good", 20))
        writer.add_dropped("bad", "/v/bad.mp4", "no face", sha256="12")
        writer.finish()
    store = TrackStore(tmp_path / "store")
    assert len(store) == 1
    (dropped,) = store.dropped
    assert (dropped.drop_reason, dropped.source, dropped.sha256) == ("no face", "/v/bad.mp4", "12")
    with pytest.raises(DataError, match="was dropped: no face"):
        store.read("bad")
    with pytest.raises(DataError, match="is not in it"):
        store.read("other")


def test_a_stopped_writer_goes_on_without_losing_or_repeating(tmp_path, make_track, make_store):
    tracks = [make_track(name, 20, seed=index, source=f"/v/{name}") for index, name in enumerate("abcd")]
    path = tmp_path / "store"
    with TrackStoreWriter(path) as writer:
        writer.add(tracks[0])
        writer.add(tracks[1])
    with pytest.raises(DataError, match="no finished track store"):
        TrackStore(path)
    with (path / "journal.jsonl").open("a") as stream:
        stream.write('{"clips": [{"clip_id": "half"')  # a line that a kill cut off
    (path / "incoming" / "c.safetensors").write_bytes(b"half a file")  # a clip that never reached the journal
    with TrackStoreWriter(path) as writer:
        assert writer.finished_sources == {("/v/a", ""), ("/v/b", "")}
        assert "a" in writer
        assert "c" not in writer
        writer.add(tracks[2])
        writer.add(tracks[3])
        writer.finish()
    assert tree(path) == tree(make_store("straight", tracks))


def test_a_cut_file_takes_its_whole_source_back(tmp_path, make_track):
    with TrackStoreWriter(tmp_path / "store") as writer:
        for name, source in (("a1", "/v/a"), ("a2", "/v/a"), ("b", "/v/b")):
            writer.add(make_track(name, 20, source=source))
    part = tmp_path / "store" / "incoming" / "a2.safetensors"
    part.write_bytes(part.read_bytes()[:-1])
    with TrackStoreWriter(tmp_path / "store") as writer:
        assert writer.finished_sources == {("/v/b", "")}


def test_clips_can_be_added_to_a_finished_store(make_store, make_track):
    path = make_store(clips=CLIPS)
    first = TrackStore(path)
    with TrackStoreWriter(path) as writer:
        writer.add(make_track("e", 25))
        writer.finish()
    store = TrackStore(path)
    assert [row.clip_id for row in store.rows] == ["a", "b", "c", "d", "e"]
    assert store.read("b").coefficients.equals(first.read("b").coefficients)
    assert store.read("e").frames == 25
    assert store.fingerprint() != first.fingerprint()


def write_slowly(path, tracks, pipe):
    """Write a store, and say each clip's number when it is safe."""
    with TrackStoreWriter(path, shard_frames=200) as writer:
        for index, track in enumerate(tracks):
            if track.clip_id not in writer:
                writer.add(track)
                pipe.send(index)
        writer.finish()
    pipe.close()


def test_killed_at_any_moment_it_ends_up_the_same(tmp_path, make_store, make_track):
    tracks = [make_track(f"{index:03d}", 20, seed=index) for index in range(120)]
    context = multiprocessing.get_context("fork")
    reported = []

    def run(stop=None):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=write_slowly, args=(tmp_path / "killed", tracks, sender))
        process.start()
        sender.close()
        try:
            while True:
                reported.append(receiver.recv())
                if reported[-1] == stop:
                    time.sleep(0.004)
                    process.kill()
        except EOFError:
            process.join()
        return process.exitcode

    for stop in (15, 60, 119):  # the last kill falls into finish()
        assert run(stop) == -signal.SIGKILL
    assert run() == 0
    assert tree(tmp_path / "killed") == tree(make_store("straight", tracks, shard_frames=200))
    # Whatever was said to be safe was not done again.
    assert len(reported) == len(set(reported))


def test_damage_is_noticed(make_store):
    path = make_store(clips=CLIPS)
    (shard,) = (path / "shards").iterdir()
    contents = shard.read_bytes()
    shard.write_bytes(contents[:-10])
    with pytest.raises(DataError, match="should have"):
        TrackStore(path).read("a")
    shard.write_bytes(contents[:-1] + b"x")
    with pytest.raises(DataError, match="damaged"):
        TrackStore(path).verify()
    shard.unlink()
    with pytest.raises(DataError, match="not a shard"):
        TrackStore(path).read("a")
    (path / "manifest.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not the manifest"):
        TrackStore(path)


def test_a_newer_store_is_refused(make_store, monkeypatch):
    path = make_store(clips=CLIPS)
    monkeypatch.setattr("expnet.data.store.manifest.STORE_VERSION", 0)
    with pytest.raises(DataError, match="version 1, and this expnet reads version 0"):
        TrackStore(path)


def test_places_that_are_no_store(tmp_path, make_track):
    with pytest.raises(DataError, match="there is no track store at"):
        TrackStore(tmp_path / "missing")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "film.mp4").touch()
    with pytest.raises(DataError, match=r"not a track store \(it holds film\.mp4\)"):
        TrackStoreWriter(tmp_path / "videos")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        TrackStoreWriter(tmp_path / "file" / "store")
    with TrackStoreWriter(tmp_path / "store"), pytest.raises(DataError, match="another process"):
        TrackStoreWriter(tmp_path / "store")


def test_a_file_system_without_locks_holds_a_store(tmp_path, make_track, monkeypatch):
    """Lustre mounted without flock."""

    def refuse(file, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(file_lock.fcntl, "flock", refuse)
    with TrackStoreWriter(tmp_path / "store") as writer:
        writer.add(make_track("a", 20))
        with pytest.raises(DataError, match=r"another process \(number \d+ on .*\) is writing .*; if it does not run"):
            TrackStoreWriter(tmp_path / "store")
        writer.finish()
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["manifest.parquet", "shards"]


def test_what_a_killed_writer_left_half_written_is_deleted(tmp_path, make_track):
    with TrackStoreWriter(tmp_path / "store") as writer:
        writer.add(make_track("a", 20))
    left = tmp_path / "store" / "incoming" / ".b.0123abcd.partial.safetensors"
    left.write_bytes(b"half")
    with TrackStoreWriter(tmp_path / "store"):
        assert not left.exists()


def test_a_line_that_did_not_fit_is_not_in_the_journal(tmp_path, make_track, small_disk):
    disk = small_disk(16)
    with TrackStoreWriter(disk / "store") as writer:
        writer.add_dropped("a", "a.mp4", "x")
        with pytest.raises(OSError, match=r"No space left on device: .*journal"):
            writer.add_dropped("b", "b.mp4", "x" * 20_000)
    with TrackStoreWriter(disk / "store") as writer:
        assert [row.clip_id for row in writer.rows] == ["a"]
        writer.add_dropped("c", "c.mp4", "x")
    with TrackStoreWriter(disk / "store") as writer:
        assert [row.clip_id for row in writer.rows] == ["a", "c"]


def test_face_models_are_not_mixed(tmp_path, make_track):
    track = make_track("a", 20)
    with TrackStoreWriter(tmp_path / "store") as writer:
        writer.add(track)
        other = replace(track, clip_id="b", coefficients=track.coefficients.with_(face_model="bfm2009"))
        with pytest.raises(DataError, match="mix the face models bfm2009, mediapipe468"):
            writer.add(other)


def test_trackers_are_not_mixed_in_a_store(tmp_path, make_track):
    with TrackStoreWriter(tmp_path / "store") as writer:
        for name, tracker in (("a", "mediapipe 1234"), ("b", ""), ("c", "mediapipe 1234")):
            writer.commit([replace(write_clip(tmp_path / "store", make_track(name, 30)), tracker=tracker)])
        other = replace(write_clip(tmp_path / "store", make_track("d", 30)), tracker="face.task 5678")
        with pytest.raises(DataError, match=r"would mix the trackers face\.task 5678, mediapipe 1234; use a store for"):
            writer.commit([other])
        writer.finish()
    store = TrackStore(tmp_path / "store")
    assert store.tracker == "mediapipe 1234"
    assert [row.tracker for row in store.rows] == ["mediapipe 1234", "", "mediapipe 1234"]


def test_discarding_leaves_nothing_behind(tmp_path, make_track, make_store):
    writer = TrackStoreWriter(tmp_path / "new")
    writer.add(make_track("a", 20))
    writer.discard()
    assert not (tmp_path / "new").exists()
    finished = make_store(clips=CLIPS)
    before = tree(finished)
    TrackStoreWriter(finished).discard()
    assert {name: value for name, value in tree(finished).items() if name != "journal.jsonl"} == before


def test_a_store_can_be_sent_to_a_worker(make_store):
    store = TrackStore(make_store(clips=CLIPS))
    store.read("a")
    again = pickle.loads(pickle.dumps(store))
    assert again.read("a").coefficients.equals(store.read("a").coefficients)


def test_a_hundred_thousand_clips_open_quickly(tmp_path):
    rows = [
        ManifestRow(f"{index:06d}", speaker=f"s{index % 999}", source=f"/v/{index}.mp4", frames=99, sha256="ab" * 32)
        for index in range(100_000)
    ]
    write_manifest(tmp_path, rows, {})
    start = time.process_time()
    store = TrackStore(tmp_path)
    seconds = time.process_time() - start
    assert len(store) == 100_000
    assert store.rows[7] == rows[7]
    assert seconds < 2


def test_journal_lines_are_json(tmp_path, make_track):
    with TrackStoreWriter(tmp_path / "store") as writer:
        writer.add(make_track("a", 20))
        (line,) = (tmp_path / "store" / "journal.jsonl").read_text().splitlines()
    assert json.loads(line)["clips"][0]["clip_id"] == "a"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux lists them")
def test_reading_a_manifest_leaves_no_thread_behind(make_store):
    """A thread of Arrow's that still starts when a short command ends aborts it, once in some dozens of times."""
    program = (
        "import os, sys; from expnet.data.store.manifest import read_manifest\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "read_manifest(sys.argv[1]); sys.exit(len(os.listdir('/proc/self/task')) - before)"
    )
    store = make_store("store", CLIPS)
    assert subprocess.run([sys.executable, "-c", program, str(store)], check=False).returncode == 0
