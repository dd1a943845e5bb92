"""Memory of long speech, and latency while audio is arriving: the numbers of docs/guides/streaming.md.

    python benchmarks/streaming.py [--minutes 1 10 60] [--size PIXELS] [--expression RUN | --lookahead SECONDS]
        [--chunk SECONDS]

Memory is the peak resident set size of a fresh process that makes a whole video of repeated synthetic speech, reading
the recording from a file. Latency is processor time of one thread, to which the audio that a frame has to wait for is
added. Without --expression, latency is measured with an untrained network; with --lookahead, with the packaged motion
network, whose frames leave in blocks. `benchmarks/sampled_motion.py --lookaheads` measures what live motion looks like.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut

from expnet.animate.animator import Animator
from expnet.animate.streaming import samples_needed
from expnet.audio.alignment import SAMPLES_PER_FRAME
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.audio.wave import write_wav
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.flow_matching.live import Schedule
from expnet.models.saved_model import save_model

TEXT = "The quick brown fox jumps over the lazy dog, and nobody who sees it can say where it will go from there."


def speech(seconds: float) -> np.ndarray:
    """Repeated synthetic speech, (S,) at 16 kHz."""
    said = synthesize_speech(TEXT).samples
    return np.resize(said, round(seconds * SAMPLE_RATE)).astype(np.float32)


def portrait(size: int) -> np.ndarray:
    """A square around the head of scikit-image's astronaut, with at least this many pixels."""
    return np.ascontiguousarray(astronaut()[:256, 90:346]) if size <= 256 else astronaut()


def highest_resident() -> float:
    """Peak memory of this process in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def animate(recording: Path, size: int, output: Path) -> tuple[float, float, float]:
    """Make a video in a fresh process; returns megabytes before it, peak megabytes, and seconds."""
    torch.set_num_threads(1)
    animator = Animator()
    animator.animate(portrait(size), speech(1.0), output, size=size)
    before, start = highest_resident(), time.perf_counter()
    animator.animate(portrait(size), recording, output, size=size)
    return before, highest_resident(), time.perf_counter() - start


def memory(minutes: list[float], size: int) -> None:
    """Print a row for each length."""
    print("minutes  a second of video, MB  this video, MB  wall seconds", flush=True)
    for length in minutes:
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder, "speech.wav")
            write_wav(recording, speech(60 * length))
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                row = fresh.submit(animate, recording, size, Path(folder, "out.mp4")).result()
        print("{:7g}  {:21.0f}  {:14.0f}  {:12.0f}".format(length, *row), flush=True)


def live_animator(expression: Path | None, lookahead: float | None) -> Animator:
    """Open the animator whose latency is measured."""
    if lookahead is not None:
        return Animator(motion="sampled")
    with tempfile.TemporaryDirectory() as folder:
        if expression is None:
            untrained = ExpressionRegressor(attention_bias="alibi_causal", streaming=True)
            expression = save_model(Path(folder, "untrained.safetensors"), untrained)
        return Animator(expression=expression)


def latency(animator: Animator, size: int, chunk: float, lookahead: float | None) -> None:
    """Print how long a frame waits, and what it costs."""
    samples, length = speech(20.0), round(chunk * SAMPLE_RATE)
    spent: list[float] = []
    given = 0

    def chunks() -> Iterator[np.ndarray]:
        nonlocal given
        for begin in range(0, len(samples), length):
            given = begin + length
            yield samples[begin:given]

    frames = animator.stream(portrait(size), chunks(), size=size, lookahead=lookahead)
    next(frames)
    first = given
    mark = time.process_time()
    for _ in frames:
        spent.append(time.process_time() - mark)
        mark = time.process_time()
    waits = [
        samples_needed(frame) - frame * SAMPLES_PER_FRAME
        if lookahead is None
        else SAMPLES_PER_FRAME * (Schedule.of_seconds(lookahead).delay - frame)
        for frame in range(5)  # the frames of a block; a pattern of five frames where they leave one at a time
    ]
    cost = 1000 * np.array(spent)
    print(f"audio that a frame needs after its start: {min(waits) / 16:.1f} to {max(waits) / 16:.1f} ms")
    print(f"audio received before the first frame, chunks of {1000 * chunk:g} ms: {first / 16:.0f} ms")
    print(
        f"processor time a frame at {size} px: median {np.median(cost):.1f} ms, 99 % {np.percentile(cost, 99):.1f} ms"
    )
    print(f"all frames of a second of audio: {25 * np.mean(cost):.0f} ms")
    print(f"of the first hundred {np.median(cost[:100]):.1f} ms, of the last hundred {np.median(cost[-100:]):.1f} ms")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="*", default=[1, 10, 60], help="Lengths of the videos.")
    parser.add_argument("--size", type=int, default=256, help="Longer side of the video in pixels.")
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--expression", type=Path, help="Weights of a streaming network.")
    network.add_argument("--lookahead", type=float, help="Sample the motion, with this look-ahead in seconds.")
    parser.add_argument("--chunk", type=float, default=0.02, help="Seconds of audio that arrive at once.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    animator = live_animator(arguments.expression, arguments.lookahead)
    latency(animator, arguments.size, arguments.chunk, arguments.lookahead)
    memory(arguments.minutes, arguments.size)


if __name__ == "__main__":
    main()
