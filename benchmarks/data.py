"""Speed of track stores and the DataModule; with --videos, of preprocessing as well.

    python benchmarks/data.py [--videos FOLDER] [--json FILE]

Prints seconds, and ratios that are measured in the same run and therefore stay comparable on a busy machine.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from expnet.audio.speech_encoders import FeatureSource
from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.disturbed_copies import CopyRecipe
from expnet.data.feature_extraction import cache_features
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track_store import TrackStore
from expnet.data.store_source import StoreSource
from shared.random_stores import LARGE, SMALL, make_large_store, make_small_store


class ZeroEncoder:
    """Stands in for Whisper tiny, whose features have 384 values a frame."""

    source = FeatureSource("whisper", 3, 384, "0" * 64)

    def __call__(self, samples: np.ndarray, frames: int) -> np.ndarray:
        """Return zeros."""
        return np.zeros((frames, 384), np.float32)


def measure_loading(path: Path, workers: int, batches: int = 60, features: str = "") -> float:
    """Milliseconds per training window."""
    module = TalkingFaceDataModule(
        StoreSource(str(path), features=features),
        window=64,
        workers=workers,
        augmentation=WindowAugmentation.none(),
    )
    module.setup("fit")
    loader = iter(module.train_dataloader())
    next(loader)
    start, count = time.perf_counter(), 0
    for _ in range(batches):
        batch = next(loader, None)
        if batch is None:
            break
        count += len(batch)
    return (time.perf_counter() - start) / count * 1000


def measure_stores(folder: Path) -> dict[str, float]:
    """Time opening, splitting and reading of a small and a large store."""
    results: dict[str, float] = {}
    make_small_store(folder / "small")
    make_large_store(folder / "large", folder / "small")
    for name, clips in (("small", SMALL), ("large", LARGE)):
        start = time.perf_counter()
        store = TrackStore(folder / name)
        results[f"open {clips} clips, s"] = time.perf_counter() - start
        generator = np.random.default_rng(0)
        chosen = generator.integers(0, clips, size=500)
        store.read_window("000000", 0, 64)
        start = time.perf_counter()
        for index in chosen:
            store.read_window(f"{index:06d}", int(index) % 100, 64)
        results[f"read a 64-frame track of {clips} clips, ms"] = (time.perf_counter() - start) / len(chosen) * 1000
        start = time.perf_counter()
        module = TalkingFaceDataModule(str(folder / name), augmentation=WindowAugmentation.none())
        module.setup("fit")
        next(iter(module.train_dataloader().sampler))
        results[f"epoch start of {clips} clips, s"] = time.perf_counter() - start
        for workers in (0, 2):
            results[f"window of {clips} clips, {workers} workers, ms"] = measure_loading(folder / name, workers)
    start = time.perf_counter()
    _ = TalkingFaceDataModule(str(folder / "large")).statistics
    results["statistics of 100000 clips, s"] = time.perf_counter() - start
    return results


def measure_features(folder: Path) -> dict[str, float]:
    """Compare windows of features with windows of coefficients: alone, and in training windows with mel and all."""
    store = TrackStore(folder / "small")
    plain = cache_features(store, folder / "features", ZeroEncoder())
    copies = cache_features(store, folder / "copies", ZeroEncoder(), copies=CopyRecipe(2))
    cache = FeatureCache(plain, store)
    generator = np.random.default_rng(0)
    chosen = [store.rows[index] for index in generator.integers(0, SMALL, size=500)]
    results: dict[str, float] = {}

    def coefficients(row: ManifestRow) -> None:
        for name in ("expression", "rotation", "translation"):
            store.shard(row).frames(name, row.first_frame + 50, 64)

    def features(row: ManifestRow) -> None:
        cache.frames(row.shard, row.first_frame + 50, 64)

    for name, read in (("coefficients", coefficients), ("features", features)):
        times = []
        for row in [chosen[0], *chosen]:
            start = time.perf_counter()
            read(row)
            times.append(time.perf_counter() - start)
        results[f"read {name} of 64 frames, ms"] = float(np.median(times[1:])) * 1000
    for name, used in (("no", ""), ("stored", str(plain)), ("two copies of", str(copies))):
        results[f"window with {name} features, ms"] = measure_loading(folder / "small", 0, features=used)
    return results


AUGMENTATIONS: dict[str, dict[str, float]] = {
    "default": {},
    "full": {"noise_snr": 10.0, "pitch": 0.3, "babble": 0.3, "reverberation": 0.3, "codec": 0.3},
}


def measure_augmentation(folder: Path) -> dict[str, float]:
    """Compare augmentation and spectrograms by the workers and on the device, the default one and all kinds at once."""
    results: dict[str, float] = {}
    for name, options in AUGMENTATIONS.items():
        results |= _measure_augmentation(folder, name, options)
    return results


def _measure_augmentation(folder: Path, augmented: str, options: dict[str, float]) -> dict[str, float]:
    """Processor time of a window of 64 frames with some augmentation: by the workers, and on the device."""
    seconds: dict[str, list[float]] = {"workers": [], "read": [], "device": []}
    pair = [
        TalkingFaceDataModule(
            str(folder / "small"), windows_per_clip=4, augmentation=WindowAugmentation(on_device=on, **options)
        )
        for on in (False, True)
    ]
    loaders = [iter(data.train_dataloader()) for data in pair]
    for _ in range(20):  # batches of both in turn, so that a busy minute slows both
        for number, (data, loader) in enumerate(zip(pair, loaders, strict=True)):
            start = time.process_time()
            batch = next(loader)
            read = time.process_time()
            data.on_after_batch_transfer(batch, 0)
            seconds["read" if number else "workers"].append((read - start) / len(batch))
            if number:
                seconds["device"].append((time.process_time() - read) / len(batch))
    median = {name: 1000 * float(np.median(values[1:])) for name, values in seconds.items()}
    return {
        f"window with {augmented} augmentation by a worker, ms": median["workers"],
        f"window read for {augmented} augmentation, ms": median["read"],
        f"window with {augmented} augmentation in the batch on a CPU, ms": median["device"],
        f"{augmented} augmentation by a worker / in the batch on a CPU": (median["workers"] - median["read"])
        / median["device"],
    }


def measure_preprocess(videos: Path, folder: Path) -> dict[str, float]:
    """Preprocessing speed of one process in frames/s, and that of the tracker alone on decoded frames."""
    from expnet.data.corpora import read_corpus
    from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions
    from expnet.face.tracker import open_tracker
    from expnet.media.video_reader import read_video

    sources = read_corpus(videos)[:8]
    maker, tracker = ClipMaker(folder / "clips", ClipOptions()), open_tracker("mediapipe")
    seconds = {"preprocess": 0.0, "tracker": 0.0}
    frames = 0
    maker(sources[0])
    for source in sources:  # side by side, so that a busy minute slows both
        start = time.perf_counter()
        maker(source)
        seconds["preprocess"] += time.perf_counter() - start
        decoded = list(read_video(source.path, fps=25))
        frames += len(decoded)
        start = time.perf_counter()
        tracker.track(decoded)
        seconds["tracker"] += time.perf_counter() - start
    return {
        "preprocess, frames/s": frames / seconds["preprocess"],
        "tracker alone, frames/s": frames / seconds["tracker"],
        "preprocess / tracker alone": seconds["tracker"] / seconds["preprocess"],
    }


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="Folder of videos to measure preprocessing on.")
    parser.add_argument("--json", type=Path, help="File to write the results to.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        results = measure_stores(Path(folder)) | measure_features(Path(folder)) | measure_augmentation(Path(folder))
        if arguments.videos:
            results |= measure_preprocess(arguments.videos, Path(folder))
    for name, value in results.items():
        print(f"{value:12.3f}  {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
