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

from expnet.data.audio_augmentation import WindowAugmentation
from expnet.data.datamodule import TalkingFaceDataModule
from expnet.data.store.track_store import TrackStore
from shared.random_stores import LARGE, SMALL, make_large_store, make_small_store


def measure_loading(path: Path, workers: int, batches: int = 60) -> float:
    """Milliseconds per training window."""
    module = TalkingFaceDataModule(str(path), window=64, workers=workers, augmentation=WindowAugmentation.none())
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
        results = measure_stores(Path(folder))
        if arguments.videos:
            results |= measure_preprocess(arguments.videos, Path(folder))
    for name, value in results.items():
        print(f"{value:12.3f}  {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
