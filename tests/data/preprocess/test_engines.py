"""Both engines give the same results and the same stores, and survive what their processes do not."""

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from expnet.cli import main
from expnet.data.preprocess import clip_maker
from expnet.data.preprocess.engines import LocalEngine, RayEngine, open_engine
from expnet.data.preprocess.isolated_workers import WorkerDiedError
from expnet.data.preprocess.videos import preprocess
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError, MissingAssetError
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import LandmarkTrack
from expnet.media.video_reader import write_video

CLIPS = Path(__file__).parents[4] / "shared" / "clips"


def sums(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def ray_engine():
    """Two actors on a Ray of this machine, which is started once."""
    ray = pytest.importorskip("ray", reason="the ray extra is not installed")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # on a busy machine
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield RayEngine(2)
    ray.shutdown()


@dataclass
class ByValue:
    """A function that new processes can have although they cannot import this module."""

    function: object

    def __reduce__(self):
        module = sys.modules[__name__]
        cloudpickle.register_pickle_by_value(module)
        try:
            return cloudpickle.loads, (cloudpickle.dumps(self.function),)
        finally:
            cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(params=["local", "ray"])
def engine(request):
    return request.getfixturevalue("ray_engine") if request.param == "ray" else LocalEngine(2)


def make_moody(folder):
    """A function that raises at 2, dies at 3, and at 5 the first time; else it says where it is."""

    def moody(task):
        (folder / f"{task}-{os.getpid()}").touch()
        if task == 2:
            raise ZeroDivisionError("two")
        if task == 3 or (task == 5 and len(list(folder.glob("5-*"))) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return task, Path.cwd()

    return moody


def make_nothing():
    raise MissingAssetError("no tracker")


def make_slow():
    return lambda task: time.sleep(0.2 * task)


def test_every_task_has_its_answer_and_who_dies_is_tried_once_more(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative paths mean the same in every process
    results = dict(engine.map(ByValue(partial(make_moody, tmp_path)), range(7)))
    assert {task: results.pop(task) for task in (0, 1, 4, 5, 6)} == {task: (task, tmp_path) for task in (0, 1, 4, 5, 6)}
    assert repr(results[2]) == "ZeroDivisionError('two')"
    assert isinstance(results[3], WorkerDiedError)
    assert str(results[3]) == "it died 2 times"
    # Ray does not say how a process died.
    assert results[3].killed == isinstance(engine, LocalEngine)
    assert {task: len(list(tmp_path.glob(f"{task}-*"))) for task in (0, 2, 3, 5)} == {0: 1, 2: 1, 3: 2, 5: 2}


def test_a_function_that_cannot_be_made_is_an_answer(engine):
    assert [type(result) for _, result in engine.map(ByValue(make_nothing), range(2))] == [MissingAssetError] * 2
    assert list(engine.map(ByValue(make_nothing), [])) == []


def test_actors_without_a_core_get_one_and_an_abandoned_map_gives_its_cores_back(ray_engine):
    begun = RayEngine(3).map(ByValue(make_slow), range(4))
    next(begun)
    begun.close()
    assert sorted(task for task, _ in RayEngine(3).map(ByValue(make_slow), range(4))) == list(range(4))


def test_preemption_is_not_the_fault_of_the_task():
    from expnet.data.preprocess.engines import _Attempt

    attempt = _Attempt("video")
    assert all(attempt.again(preempted=True) for _ in range(20))
    assert attempt.again(preempted=False)
    assert not attempt.again(preempted=False)
    assert not _Attempt("video", tries=2, preemptions=20).again(preempted=True)


def test_engines_by_name(monkeypatch):
    assert open_engine("local", 3) == LocalEngine(3)
    with pytest.raises(InputError, match="no engine 'spark'; choose local or ray"):
        open_engine("spark", 3)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingAssetError, match=r"pip install 'expnet\[ray\]' or use --engine local"):
        open_engine("ray", 3)


@dataclass
class SquareTracker:
    """Takes a white square for the mean face of the built-in model, and dies at a black image."""

    def track(self, frames):
        face = np.zeros((478, 3), np.float32)
        face[:468] = builtin_face_model().mean.numpy()[:468] * (1, -1, -1)
        points = []
        for frame in frames:
            if frame.max() < 8:
                os.kill(os.getpid(), signal.SIGSEGV)
            rows, columns = np.nonzero(frame[..., 1] > 180)
            points.append(face * np.sqrt(len(rows)) + (columns.mean(), rows.mean(), 0))
            shape = frame.shape[:2]
        return LandmarkTrack(np.array(points, np.float32), np.ones(len(points), bool), shape)


def make_patched(make_function):
    clip_maker.open_tracker = lambda spec: SquareTracker()
    return make_function()


@dataclass
class WithSquares:
    """An engine whose processes have the tracker of squares."""

    engine: object

    def map(self, make_function, tasks):
        return self.engine.map(ByValue(partial(make_patched, make_function)), tasks)


@pytest.fixture
def videos(tmp_path):
    """Three videos, the shortest of which crashes the process that reads it."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for index in range(3):
        picture = np.full((96, 128, 3), 40, np.uint8)
        picture[30:62, 40 + index : 72 + index] = 255
        sound = (0.3 * np.sin(np.arange(16000 * (30 + index) // 25) * 0.2)).astype(np.float32)
        pictures = [picture * (index > 0)] * (30 + index)
        write_video(folder / f"{index}.mp4", pictures, fps=25, audio=sound)
    return folder


@pytest.mark.slow
def test_the_store_is_the_same_bit_for_bit(videos, tmp_path, ray_engine, monkeypatch):
    """Two processes into a folder; Ray behind a URL, stopped after one video and begun again."""
    monkeypatch.setenv("EXPNET_SHARD_CACHE", str(tmp_path / "cache"))
    preprocess(videos, tmp_path / "local", engine=WithSquares(LocalEngine(2)), progress=False)

    class Stopping(WithSquares):
        def map(self, make_function, tasks):
            yield from super().map(make_function, list(tasks)[:1])
            raise KeyboardInterrupt

    far = f"local://{tmp_path}/ray"
    with pytest.raises(KeyboardInterrupt):
        preprocess(videos, far, engine=Stopping(ray_engine), progress=False)
    summary = preprocess(videos, far, engine=WithSquares(ray_engine), progress=False)
    assert (summary.already_done, summary.clips) == (1, 2)

    expected = sums(tmp_path / "local")
    assert set(expected) == {"manifest.parquet", "shards/00000.safetensors"}
    assert sums(tmp_path / "ray") == expected
    store = TrackStore(far)
    reasons = [row.drop_reason for row in store.dropped]
    assert reasons == ["the video crashes the process that reads it: it died 2 times"]
    assert [store.read(row.clip_id).frames for row in store.rows] == [31, 32]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_engine")
@pytest.mark.skipif(not CLIPS.is_dir(), reason="no ../shared/clips beside the checkout")
def test_real_clips_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # Ray sets 1 for its processes: no digit may depend on it
    (tmp_path / "clips").mkdir()
    for name in ("grid_bbaf2n.mp4", "grid_pwij3p.mp4"):
        (tmp_path / "clips" / name).symlink_to(CLIPS / name)
    for name, options in (("local", ["--workers", "2"]), ("ray", ["--workers", "2", "--engine", "ray"])):
        assert main(["preprocess", str(tmp_path / "clips"), "--output", str(tmp_path / name), *options]) == 0
    assert sums(tmp_path / "local") == sums(tmp_path / "ray")
    assert len(TrackStore(tmp_path / "ray")) == 2
