"""What does a clip cost, and what would a million clips cost? The numbers of docs/results/scaling.md.

    python benchmarks/scaling.py [--clips N] [--shards N] [--videos FOLDER] [--ray] [--json FILE]

A manifest of N clips is written and opened in full; arrays are those of a few full shards. Whatever grows with the
clips is divided by their number and multiplied by a million. Seconds are those of one busy core, except where the
command waits for the disk or for other processes.
"""

import argparse
import gc
import hashlib
import json
import os
import pickle
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import torch

from expnet.coefficients import FaceCoefficients
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.dataset import FaceDataset
from expnet.data.preprocess.engines import Engine, LocalEngine, RayEngine
from expnet.data.sampling import WindowDraw
from expnet.data.store import shards
from expnet.data.store.manifest import ManifestRow, read_manifest, write_manifest
from expnet.data.store.storage import ShardInfo
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.data.store.writer import SHARD_FRAMES, TrackStoreWriter

MILLION = 1_000_000
# Five seconds, about the mean length of the clips in LRS3's trainval and in MEAD.
FRAMES = 125
WINDOW, BATCH = 64, 16


@dataclass(frozen=True)
class Figure:
    """One line of the table; ``million`` is the forecast for a million clips, or None where it does not grow."""

    name: str
    value: float
    unit: str
    million: float | None = None

    def __str__(self) -> str:
        """Format the line."""
        forecast = "" if self.million is None else f"{self.million:14,.6g} at a million"
        return f"{self.value:14,.6g} {self.unit:8} {self.name:58} {forecast}".rstrip()


def per_million(name: str, total: float, count: int, unit: str, scale: float = 1.0) -> Figure:
    """A figure that grows with the clips: its total for ``count`` clips, and the forecast."""
    return Figure(f"{name}, {count:,} clips", total / scale, unit, total / scale / count * MILLION)


@contextmanager
def timed(seconds: list[float], clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Append the seconds of a block by the given clock, by default processor time of this process."""
    start = clock()
    yield
    seconds.append(clock() - start)


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def disk_reads() -> int:
    """Bytes that this process has read from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def make_track(index: int, frames: int) -> Track:
    """A track of noise, which cannot be compressed."""
    generator = np.random.default_rng(index)
    coefficients = FaceCoefficients(
        generator.normal(size=(frames, 64)),
        *generator.normal(size=(2, frames, 3)),
        identity=generator.normal(size=80),
        crop=np.ones(3),
    )
    landmarks = generator.normal(size=(frames, 68, 2)).astype(np.float32)
    audio = generator.uniform(-1, 1, size=frames * 640).astype(np.float32)
    return Track(f"{index:07d}", f"s{index % 20}", coefficients, landmarks, np.ones(frames, bool), audio)


def measure_writing(folder: Path, full: int) -> list[Figure]:
    """Write full shards clip by clip, as preprocessing does, and pack them."""
    count = full * (SHARD_FRAMES // FRAMES)
    writing: list[float] = []
    path = folder / "written"
    with TrackStoreWriter(path) as writer:
        for index in range(count):
            track = make_track(index, FRAMES)
            with timed(writing):
                writer.add(track)
        journal = (path / "journal.jsonl").stat().st_size
        opening: list[float] = []
        writer.close()
        with timed(opening):
            again = TrackStoreWriter(path)
        packing: list[float] = []
        with timed(packing):
            again.finish()
    infos = read_manifest(path)[1]
    size = sum(info.bytes for info in infos.values())
    return [
        Figure("a frame in a shard", size / count / FRAMES, "B"),
        Figure("a full shard", max(info.bytes for info in infos.values()) / 1e6, "MB"),
        per_million("all shards", size, count, "GB", 1e9),
        Figure("number of shards", len(infos), "", MILLION / (SHARD_FRAMES // FRAMES)),
        Figure("write a clip and note it", float(np.median(writing)) * 1e3, "ms"),
        per_million("journal of a store being made", journal, count, "MB", 1e6),
        per_million("go on after a kill: read journal, look at files", opening[0], count, "s"),
        per_million("pack and finish", packing[0], count, "s"),
    ]


def manifest_rows(count: int) -> Iterator[ManifestRow]:
    """Rows like those of a corpus: long paths, a checksum per video, two clips per video, 200 clips per speaker."""
    generator = np.random.default_rng(0)
    for index in range(count):
        video = index // 2
        yield ManifestRow(
            f"lrs3_speaker{index // 200:05d}_{video:07d}_shot{index % 2 + 1:02d}",
            speaker=f"speaker{index // 200:05d}",
            corpus="lrs3",
            language="en",
            frames=FRAMES,
            face_model="mediapipe468",
            source=f"/corpora/lrs3/pretrain/speaker{index // 200:05d}/{video:07d}.mp4",
            source_start=5.0 * (index % 2),
            frame_height=224,
            frame_width=224,
            sha256=hashlib.sha256(str(video).encode()).hexdigest(),
            fit_error=generator.random(),
            eye_open=generator.random(),
            shard=f"{index // (SHARD_FRAMES // FRAMES):05d}.safetensors",
            shard_clip=index % (SHARD_FRAMES // FRAMES),
            first_frame=index % (SHARD_FRAMES // FRAMES) * FRAMES,
        )


def opened_bytes(path: Path) -> int:
    """Memory of an opened store; to be run in a process that holds nothing else yet."""
    before = resident()
    store = TrackStore(path)
    pa.default_memory_pool().release_unused()
    memory = resident() - before
    del store
    return memory


def measure_manifest(folder: Path, count: int) -> list[Figure]:
    """Write and open a manifest, split its clips, start an epoch, and send the dataset to a worker."""
    path = folder / "manifest"
    infos = {f"{number:05d}.safetensors": ShardInfo(1, f"{number:064x}") for number in range(count * FRAMES // 65000)}
    seconds: dict[str, list[float]] = {name: [] for name in ("write", "open", "setup", "next", "send", "get")}
    rows = list(manifest_rows(count))
    with timed(seconds["write"]):
        write_manifest(path, rows, infos)
    del rows
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        memory = fresh.submit(opened_bytes, path).result()
    with timed(seconds["open"]):
        TrackStore(path)
    module = TalkingFaceDataModule(str(path), window=WINDOW, batch_size=BATCH, augmentation=WindowAugmentation.none())
    module.setup("fit")
    del module
    module = TalkingFaceDataModule(str(path), window=WINDOW, batch_size=BATCH, augmentation=WindowAugmentation.none())
    with timed(seconds["setup"]):
        module.setup("fit")
    loader = module.train_dataloader()
    next(iter(loader.sampler))
    with timed(seconds["next"]):
        loader.sampler.set_epoch(1)
        next(iter(loader.sampler))
    with timed(seconds["send"]):
        sent = pickle.dumps(loader.dataset, protocol=pickle.HIGHEST_PROTOCOL)
    with timed(seconds["get"]):
        pickle.loads(sent)  # noqa: S301 - its own
    manifest = (path / "manifest.parquet").stat().st_size
    return [
        per_million("manifest.parquet", manifest, count, "MB", 1e6),
        per_million("write the manifest", seconds["write"][0], count, "s"),
        per_million("open the store", seconds["open"][0], count, "s"),
        per_million("rows in memory, each process", memory, count, "MB", 1e6),
        per_million("setup: open, divide by speaker, samplers", seconds["setup"][0], count, "s"),
        per_million("begin an epoch: draw and order the windows", seconds["next"][0], count, "s"),
        per_million("a spawned worker: pickle the dataset", seconds["send"][0] + seconds["get"][0], count, "s"),
        per_million("a spawned worker: bytes of the dataset", len(sent), count, "MB", 1e6),
    ]


def measure_reading(folder: Path, steps: int = 20) -> list[Figure]:
    """Read random training windows from full shards, from the disk and from the page cache."""
    path = folder / "written"
    files = sorted((path / "shards").iterdir())
    descriptors, mapped = len(os.listdir("/proc/self/fd")), count_maps(files)
    module = TalkingFaceDataModule(str(path), window=WINDOW, batch_size=BATCH, augmentation=WindowAugmentation.none())
    module.setup("fit")
    dataset = module.train_dataloader().dataset
    for row in module.stores[0].rows[:: SHARD_FRAMES // FRAMES]:
        module.stores[0].shard(row)
    descriptors, mapped = len(os.listdir("/proc/self/fd")) - descriptors, count_maps(files) - mapped
    draws = iter(module.train_dataloader().sampler)
    times: dict[str, list[float]] = {"disk": [], "cache": []}
    read = []
    for _ in range(steps):
        batch = [next(draws) for _ in range(BATCH)]
        module.stores[0]._shards.clear()  # mapped pages would stay in the cache
        evict(files)
        for row in module.stores[0].rows[:: SHARD_FRAMES // FRAMES]:
            module.stores[0].shard(row)
        before = disk_reads()
        for name in times:
            with timed(times[name], time.perf_counter):
                for draw in batch:
                    dataset[draw]
        read.append(disk_reads() - before)
    asked = asked_bytes(dataset, batch)
    ratio = np.array(times["disk"]) / times["cache"]
    return [
        Figure("open files a mapped shard", descriptors / len(files), ""),
        Figure(
            "memory maps a mapped shard", mapped / len(files), "", mapped / len(files) * MILLION * FRAMES / SHARD_FRAMES
        ),
        Figure(f"bytes asked for by a step of {BATCH} windows", asked / 1e6, "MB"),
        Figure("bytes read from the disk by such a step", float(np.median(read)) / 1e6, "MB"),
        Figure("such a step, one process, from the page cache", float(np.median(times["cache"])) * 1e3, "ms"),
        Figure("the same, from the disk / from the page cache", float(np.median(ratio)), "x"),
    ]


def asked_bytes(dataset: FaceDataset, batch: list[WindowDraw]) -> int:
    """Bytes of the arrays that these windows are read from."""
    total = 0
    fetch = shards._fetched

    def counting(piece: np.ndarray) -> np.ndarray:
        nonlocal total
        total += piece.nbytes
        return fetch(piece)

    with mock.patch.object(shards, "_fetched", counting):
        for draw in batch:
            dataset[draw]
    return total


def count_maps(files: list[Path]) -> int:
    """Memory maps of these files in this process."""
    maps = Path("/proc/self/maps").read_text()
    return sum(maps.count(str(path)) for path in files)


def evict(files: list[Path]) -> None:
    """Evict files from the page cache, unless other processes have their pages mapped."""
    for path in files:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_requests(clips: int = 400) -> list[Figure]:
    """Count the requests of a store behind a URL, with objects in memory."""
    from fsspec.implementations.memory import MemoryFileSystem

    counts: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., object]:
        original = getattr(MemoryFileSystem, name)

        def run(*arguments: object, **options: object) -> object:
            counts[name] += 1
            return original(*arguments, **options)

        return run

    words = {"pipe_file": "PUT", "cat_file": "GET", "size": "HEAD"}
    patched = mock.patch.multiple(MemoryFileSystem, **{name: counting(name) for name in words})
    with patched, TrackStoreWriter("memory://bench/tracks", shard_frames=clips * 25) as writer:
        for index in range(clips):
            writer.add(make_track(index, 25))
        writer.finish()
    MemoryFileSystem.store.clear()
    return [Figure(f"{word} requests a clip", counts[name] / clips, "", None) for name, word in words.items()]


def make_identity() -> Callable[[int], int]:
    """A task that costs nothing."""
    return abs


def measure_engine(engine: Engine, name: str, tasks: int) -> Figure:
    """Milliseconds that an engine adds to a task once its processes are running."""
    done = engine.map(make_identity, range(tasks + 1))
    next(done)
    start = time.perf_counter()
    count = sum(1 for _ in done)
    return Figure(f"hand out a task, {name} engine, 2 processes", (time.perf_counter() - start) / count * 1e3, "ms")


def measure_preprocess(videos: Path, folder: Path) -> list[Figure]:
    """Seconds of one core per frame, on real videos."""
    from expnet.data.corpora import read_corpus
    from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions

    sources = read_corpus(videos)[:8]
    maker = ClipMaker(folder / "clips", ClipOptions())
    maker(sources[0])
    start = time.process_time()
    frames = sum(row.frames for source in sources for row in maker(source))
    seconds = time.process_time() - start
    hours = seconds / frames * FRAMES / 3600
    return [
        Figure("preprocess, one core", frames / seconds, "frames/s"),
        Figure(f"preprocess a clip of {FRAMES} frames", hours * 3600, "core s"),
        Figure("preprocess, core hours", hours, "h", hours * MILLION),
    ]


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000, help="Rows of the manifest (default: %(default)s).")
    parser.add_argument("--shards", type=int, default=2, help="Full shards to write, 140 MB each (default: 2).")
    parser.add_argument("--videos", type=Path, help="Folder of videos to measure preprocessing on.")
    parser.add_argument("--ray", action="store_true", help="Measure the Ray engine as well.")
    parser.add_argument("--json", type=Path, help="File to write the results to.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: list[Figure] = []

    def show(more: list[Figure]) -> None:
        figures.extend(more)
        print("\n".join(map(str, more)), flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show(measure_manifest(folder, arguments.clips))
        show(measure_writing(folder, arguments.shards))
        show(measure_reading(folder))
        show(measure_requests())
        show([measure_engine(LocalEngine(2), "local", 2000)])
        if arguments.ray:
            show([measure_engine(RayEngine(2), "ray", 2000)])
        if arguments.videos:
            show(measure_preprocess(arguments.videos, folder))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
