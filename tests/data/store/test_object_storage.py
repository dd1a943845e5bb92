import pickle

import fsspec
import numpy as np
import pytest

from expnet.data.store import object_storage
from expnet.data.store.folder_storage import FolderFiles
from expnet.data.store.object_storage import ObjectFiles, cache_folder
from expnet.data.store.open_files import open_files
from expnet.data.store.track_store import TrackStore, TrackStoreWriter
from expnet.errors import DataError, MissingAssetError

CLIPS = [("b", 40, "anna"), ("a", 30, "ben"), ("d", 50, "anna"), ("c", 20, "carl")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(object_storage.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "local"])
def url(request, tmp_path):
    """A place behind a URL: objects in memory, and a folder that is used as if it had no locks and no renames."""
    if request.param == "local":
        return f"local://{tmp_path}/bucket/tracks"
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]
    return "memory://bucket/tracks"


def objects(url):
    """Contents of all objects by name."""
    system, root = fsspec.core.url_to_fs(url)
    return {path.removeprefix(root).lstrip("/"): system.cat_file(path) for path in system.find(root)}


def tree(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def write(url, tracks, *, finish=True, **options):
    with TrackStoreWriter(url, **options) as writer:
        for track in tracks:
            writer.add(track)
        if finish:
            writer.finish()


@pytest.fixture
def tracks(make_track):
    return [
        make_track(name, frames, speaker=speaker, seed=index, source=f"/v/{name}")
        for index, (name, frames, speaker) in enumerate(CLIPS)
    ]


def test_a_store_behind_a_url_has_the_files_of_one_in_a_folder(url, tracks, make_store):
    write(url, tracks, shard_frames=60)
    assert objects(url) == tree(make_store(clips=tracks, shard_frames=60))


def test_it_reads_as_a_store_in_a_folder_does(url, tracks, make_store, cache):
    write(url, tracks, shard_frames=60)
    near, far = TrackStore(make_store(clips=tracks, shard_frames=60)), TrackStore(url)
    assert far.name == "tracks"
    assert far.rows == near.rows
    assert far.fingerprint() == near.fingerprint()
    assert not cache.exists()  # opening reads the manifest only
    for row in near.rows:
        ours, theirs = far.read_window(row.clip_id, 3, 11), near.read_window(row.clip_id, 3, 11)
        assert ours.coefficients.equals(theirs.coefficients)
        np.testing.assert_array_equal(ours.audio, theirs.audio)
    far.verify()


def test_a_shard_is_fetched_once(url, tracks, cache):
    write(url, tracks, shard_frames=60)
    store = TrackStore(url)
    store.read("a")
    (shard,) = cache.glob("*.safetensors")
    for path in [path for path in objects(url) if path.startswith("shards")]:
        system, root = fsspec.core.url_to_fs(url)
        system.rm(f"{root}/{path}")
    again = pickle.loads(pickle.dumps(TrackStore(url)))  # as a spawned worker gets it
    assert again.read("a").coefficients.equals(store.read("a").coefficients)
    assert list(cache.glob("*.safetensors")) == [shard]
    with pytest.raises(DataError, match="cannot be downloaded"):
        again.read("d")


def test_a_cut_shard_in_the_cache_is_fetched_again_and_a_damaged_one_refused(url, tracks, cache):
    write(url, tracks)
    whole = TrackStore(url).read("a")
    (shard,) = cache.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:100])
    assert TrackStore(url).read("a").coefficients.equals(whole.coefficients)
    shard.unlink()
    system, root = fsspec.core.url_to_fs(url)
    contents = system.cat_file(f"{root}/shards/00000.safetensors")
    system.pipe_file(f"{root}/shards/00000.safetensors", contents[:-1] + b"x")
    with pytest.raises(DataError, match="is damaged"):
        TrackStore(url).read("a")
    with pytest.raises(DataError, match="is damaged"):
        TrackStore(url).verify()
    assert not list(cache.glob("*.safetensors"))


def test_the_cache_keeps_to_its_limit(url, tracks, cache, monkeypatch):
    write(url, tracks, shard_frames=1)
    store = TrackStore(url)
    largest = max(info.bytes for info in store._shard_infos.values())
    monkeypatch.setenv(object_storage.CACHE_LIMIT_VARIABLE, str(2.2 * largest / 1e9))
    read = [store.read(row.clip_id) for row in store.rows]
    assert sum(path.stat().st_size for path in cache.glob("*.safetensors")) <= 2.2 * largest
    for row, track in zip(store.rows, read, strict=True):  # what was evicted stays mapped where it was open
        assert store.read(row.clip_id).coefficients.equals(track.coefficients)
    monkeypatch.setenv(object_storage.CACHE_LIMIT_VARIABLE, "much")
    cache_folder().joinpath("x").touch()
    with pytest.raises(DataError, match="number of gigabytes"):
        [TrackStore(url).read(row.clip_id) for row in store.rows]


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_a_stopped_writer_goes_on_from_any_machine(url, tracks, make_store, monkeypatch, finished):
    monkeypatch.setattr(object_storage, "LINES_PER_OBJECT", 2)
    write(url, tracks[:finished], finish=False)
    ObjectFiles(url).write("incoming/c.safetensors", b"half a file")  # of a clip that never reached the journal
    with TrackStoreWriter(url) as writer:
        assert {row.clip_id for row in writer.rows} == {track.clip_id for track in tracks[:finished]}
        for track in tracks[finished:]:
            writer.add(track)
        writer.finish()
    assert objects(url) == tree(make_store(clips=tracks))


class StopError(Exception):
    """Stands for a kill."""


@pytest.fixture
def stop_after(monkeypatch):
    """Allow a number of changes to objects, and write the clip or shard after them only in part."""
    operations = {name: getattr(ObjectFiles, name) for name in ("write", "remove", "remove_folder")}

    def install(changes, *, half):
        left = changes

        def limited(name):
            def run(self, *arguments, **options):
                nonlocal left
                left -= 1
                if left < 0:
                    # The journal is rewritten and the manifest replaced: places without whole objects are not for them.
                    if half and name == "write" and arguments[0].startswith(("incoming", "shards")):
                        operations[name](self, arguments[0], arguments[1][:-7])
                    raise StopError
                return operations[name](self, *arguments, **options)

            return run

        for name in operations:
            monkeypatch.setattr(ObjectFiles, name, limited(name))

    yield install
    monkeypatch.undo()


@pytest.mark.parametrize("half", [False, True])
def test_killed_between_any_two_changes_it_ends_up_the_same(url, tracks, make_store, stop_after, half):
    straight = tree(make_store(clips=tracks, shard_frames=60))
    stops = 0
    while True:
        stop_after(stops, half=half)
        try:
            write(url, tracks, shard_frames=60)
            break
        except StopError:
            stop_after(1000, half=False)
        with TrackStoreWriter(url, shard_frames=60) as writer:
            for track in tracks:
                if track.clip_id not in writer:
                    writer.add(track)
            writer.finish()
        assert objects(url) == straight
        ObjectFiles(url).remove_folder()
        stops += 1
    # 4 clips, 4 lines; 3 shards, 3 lines, 3 times clips removed; the manifest; journal, clips, old shards removed.
    assert stops == 8 + 9 + 1 + 3


def test_a_second_writer_is_noticed_before_the_store_is_finished(url, tracks, make_store):
    first = TrackStoreWriter(url)
    first.add(tracks[0])
    second = TrackStoreWriter(url)
    second.add(tracks[1])
    with pytest.raises(DataError, match="another process is writing"):
        first.finish()
    second.close()
    with TrackStoreWriter(url) as third:  # nothing of either is lost
        assert {row.clip_id for row in third.rows} == {"a", "b"}
        for track in tracks[2:]:
            third.add(track)
        third.finish()
    assert objects(url) == tree(make_store(clips=tracks))


def test_clips_can_be_added_to_a_finished_store(url, tracks, make_track):
    write(url, tracks)
    write(url, [make_track("e", 25)])
    store = TrackStore(url)
    assert [row.clip_id for row in store.rows] == ["a", "b", "c", "d", "e"]
    assert store.read("e").frames == 25


def test_discarding_leaves_nothing_behind(url, tracks):
    writer = TrackStoreWriter(url)
    writer.add(tracks[0])
    writer.discard()
    assert objects(url) == {}


def test_places_that_are_no_store(url, tmp_path):
    with pytest.raises(DataError, match="there is no track store at"):
        TrackStore(url)
    ObjectFiles(url).write("film.mp4", b"film")
    with pytest.raises(DataError, match=r"not a track store \(it holds film\.mp4\)"):
        TrackStoreWriter(url)
    with pytest.raises(DataError, match="no finished track store"):
        TrackStore(url)
    with pytest.raises(DataError, match="nothing://x cannot be opened"):
        TrackStore("nothing://x")


def test_a_url_of_a_package_that_is_not_installed_says_what_to_install(monkeypatch):
    def missing(*args, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingAssetError, match=r"pip install 'expnet\[cloud\]'"):
        TrackStore("s3://bucket/tracks")


def test_a_file_url_is_a_folder(tmp_path):
    files = open_files(f"file://{tmp_path}/tracks")
    assert isinstance(files, FolderFiles)
    assert files.location == f"{tmp_path}/tracks"


def test_a_clip_named_like_a_shard_is_no_shard(url, make_track):
    write(url, [make_track("a", 30)])
    added = make_track("00000", 20)
    write(url, [added])
    assert TrackStore(url).read("00000").coefficients.equals(added.coefficients)
