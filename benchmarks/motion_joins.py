"""Can the joins of a long sampled motion be seen, does it drift, and does an hour of it fit into memory?

Usage: python benchmarks/motion_joins.py --speech FILE [FILE ...] [--seconds 180] [--seeds 4] [--motion RUN]
           [--minutes 10 60] [--output DIR]

The recordings follow one another until there are --seconds of speech, which is drawn once for each seed. Expression,
head pose and lids are those of the motion network for the mean face, before anything calms or scales them.

- Joins: mean size of the change from frame to frame (velocity) and of its change (acceleration) in the frames around
  the joins of windows, from two before the first frame of a window's own to two after the fade from the window before,
  over the mean of all other frames. The same halfway between the joins is the yardstick of what chance does. Intervals
  of 95 % are over joins.
- Drift: each half minute's mean and standard deviation of the mouth opening, distance of its mean face from that of the
  first half minute, standard deviation and mean of the head's angles, and mean closure of the lids.
- Memory (--minutes): peak resident memory of a fresh process that computes the whole motion of a portrait, speech
  encoder and controls included, from a recording of that length, and its seconds for a minute of speech.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.animator import Animator
from expnet.animate.inputs import load_speech
from expnet.assets.encoders import open_speech_encoder
from expnet.audio.alignment import FRAME_RATE, SAMPLES_PER_FRAME
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.wave import write_wav
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.statistics import Interval
from expnet.models.flow_matching.motion import Motion
from expnet.models.interfaces import load_motion_network
from expnet.models.mel_source import CachedMel
from expnet.models.packaged_weights import packaged_weights
from shared.motion_joins import DRIFTS, JoinRow, drift, join_rows, joins_of
from streaming import highest_resident, portrait


@dataclass(frozen=True)
class MemoryRow:
    """What the motion of a recording took.

    Attributes:
        minutes: Length of the recording.
        before: Peak memory in megabytes after the motion of a minute.
        peak: Peak memory in megabytes after that of the recording.
        wall: Seconds for a minute of speech.
        processor: Seconds of processor time for a minute of speech.
    """

    minutes: float
    before: float
    peak: float
    wall: float
    processor: float


def joined_speech(files: Sequence[Path], seconds: float) -> NDArray[np.float32]:
    """Return recordings one after another, from the first again where they end: (S,) at 16 kHz."""
    every = np.concatenate([np.asarray(load_speech(file)) for file in files])
    return np.resize(every, round(seconds * SAMPLE_RATE)).astype(np.float32)


@torch.inference_mode()
def draw(speech: NDArray[np.float32], weights: Path, seeds: int) -> tuple[Motion, list[int]]:
    """Draw the speech once for each seed, from the mean face; return the motions (S, T, ...) and where they join."""
    network, frames = load_motion_network(weights), len(speech) // SAMPLES_PER_FRAME
    encoder = open_speech_encoder(network, None)
    features = None if encoder is None else torch.from_numpy(encoder(speech, frames)).expand(seeds, -1, -1)
    motion = network.sample(
        frames,
        torch.zeros(seeds, network.layout.sizes["expression"]),
        mel=None if encoder else CachedMel(speech),
        features=features,
        seed=list(range(seeds)),
    )
    return motion, joins_of(frames, network.config.previous)


def measure_memory(recording: str, minute: str, motion: str) -> MemoryRow:
    """Compute a whole motion in this process, after that of a minute."""
    torch.set_num_threads(1)
    animator = Animator(motion=motion)
    face = animator.portrait(portrait(256))
    animator.motion(face, load_speech(minute))
    before, samples = highest_resident(), load_speech(recording)
    wall, processor = time.perf_counter(), time.process_time()
    animator.motion(face, samples)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    minutes = len(samples) / SAMPLE_RATE / 60
    return MemoryRow(minutes, before, highest_resident(), wall / minutes, processor / minutes)


def memory(files: Sequence[Path], minutes: Sequence[float], motion: str) -> list[MemoryRow]:
    """Measure each length in a process of its own."""
    rows = []
    for length in minutes:
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder, name)) for name in ("recording.wav", "minute.wav")]
            for path, seconds in zip(paths, (60 * length, 60), strict=True):
                write_wav(path, joined_speech(files, seconds))
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                rows.append(fresh.submit(measure_memory, *paths, motion).result())
        print(rows[-1], flush=True)
    return rows


def tables(joins: Sequence[JoinRow], drifts: Sequence[dict[str, float]], rows: Sequence[MemoryRow]) -> str:
    """Return the tables in Markdown."""
    written = [
        markdown_table(
            ["", "", "at joins / elsewhere", "halfway between / elsewhere"],
            [[row.part, row.change, _text(row.at_joins), _text(row.halfway)] for row in joins],
            align="llr",
        ),
        markdown_table(
            ["half minute", *(title for _, title, _ in DRIFTS)],
            [
                [number + 1, *(f"{row[key]:.{digits}f}" for key, _, digits in DRIFTS)]
                for number, row in enumerate(drifts)
            ],
            align="r",
        ),
    ]
    if rows:
        heads = ["minutes", "after one minute, MB", "peak, MB", "wall seconds a minute", "processor seconds a minute"]
        cells = [
            [f"{x.minutes:.0f}", f"{x.before:.0f}", f"{x.peak:.0f}", f"{x.wall:.2f}", f"{x.processor:.2f}"]
            for x in rows
        ]
        written.append(markdown_table(heads, cells, align="r"))
    return "\n\n".join(written)


def _text(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", nargs="+", type=Path, required=True, help="Recordings of speech.")
    parser.add_argument("--seconds", type=float, default=180.0, help="Length of the motions whose joins are measured.")
    parser.add_argument("--seeds", type=int, default=4, help="Number of motions.")
    parser.add_argument("--motion", metavar="RUN", help="Weights of a motion network (default: the packaged ones).")
    parser.add_argument("--minutes", nargs="*", type=float, default=[], help="Lengths whose memory is measured.")
    parser.add_argument("--output", type=Path, metavar="DIR", help="Folder for table.md and scores.json.")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    weights = packaged_weights("motion") if arguments.motion is None else Path(arguments.motion)
    motion, places = draw(joined_speech(arguments.speech, arguments.seconds), weights, arguments.seeds)
    joins, drifts = join_rows(motion, places), drift(motion, 30 * FRAME_RATE)
    print(tables(joins, drifts, []), flush=True)
    rows = memory(arguments.speech, arguments.minutes, str(arguments.motion or "sampled"))
    if rows:
        print(tables(joins, drifts, rows).split("\n\n")[-1])
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "table.md").write_text(tables(joins, drifts, rows) + "\n", encoding="utf-8")
        scores = {"joins": [asdict(x) for x in joins], "drift": drifts, "memory": [asdict(x) for x in rows]}
        (arguments.output / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
