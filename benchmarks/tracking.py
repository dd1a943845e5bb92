"""Tracking and fitting compared with MediaPipe's own speed, and the two tracker backends compared with each other.

    python benchmarks/tracking.py --clips CLIPS --limit 8 \
        --task ASSETS/face_landmarker_v2_with_blendshapes.task

Speed: for each clip in turn, MediaPipe's FaceMesh alone (refined landmarks, video mode, results dropped) and expnet's
tracker with the fit are timed, on the same decoded frames and then with decoding. Processor seconds of the process do
not count other programs; wall seconds are printed beside them. Backends: coefficients from the .task model are compared
with those from the bundled models on the same frames.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from expnet.face.fitting import fit_clip, fit_residual
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import LandmarkerTaskTracker, LandmarkTrack, MediaPipeTracker
from expnet.media.video_reader import read_video
from shared.mediapipe_alone import mediapipe_alone
from shared.track_differences import compare

Seconds = dict[str, np.ndarray]


def timed(action: Callable[[], object]) -> np.ndarray:
    """Processor and wall seconds of an action."""
    start = np.array([time.process_time(), time.perf_counter()])
    action()
    return np.array([time.process_time(), time.perf_counter()]) - start


def speed(path: Path, frames: list[np.ndarray], seconds: Seconds) -> LandmarkTrack:
    """Add the seconds of one clip for each variant; returns its track."""
    model, tracker = builtin_face_model(), MediaPipeTracker()
    tracks: list[LandmarkTrack] = []
    ways: dict[str, Callable[[], object]] = {
        "decode": lambda: [None for _ in read_video(path)],
        "mediapipe": lambda: mediapipe_alone(frames),
        "track": lambda: tracks.append(tracker.track(frames)),
        "fit": lambda: fit_clip(model, tracks[-1].points, tracks[-1].found),
    }
    for way, action in ways.items():
        seconds[way] = seconds[way] + timed(action)
    # Caches are warm for whichever runs second, so each is timed once more in the opposite order.
    for way in ("track", "mediapipe"):
        seconds[way] = seconds[way] + timed(ways[way])
    return tracks[0]


def report_speed(seconds: Seconds, frames: int) -> None:
    """Print the frame rates and the two ratios."""
    for way in ("track", "mediapipe"):
        seconds[way] = seconds[way] / 2
    for way, (processor, wall) in seconds.items():
        print(f"{way:10s} {1000 * processor / frames:7.3f} ms a frame processor, {1000 * wall / frames:7.3f} wall")
    for kind, index in (("processor", 0), ("wall", 1)):
        decode, alone, track, fit = (seconds[way][index] for way in ("decode", "mediapipe", "track", "fit"))
        print(
            f"{kind}: frame rate of tracking + fit {100 * alone / (track + fit):.1f} % of MediaPipe's own on decoded "
            f"frames, {100 * (decode + alone) / (decode + track + fit):.1f} % with decoding; "
            f"the fit costs {100 * fit / alone:.1f} % of MediaPipe's time"
        )


def main() -> None:
    """Run the clips and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of videos.")
    parser.add_argument("--limit", type=int, default=8, help="Number of clips, evenly spaced in the sorted list.")
    parser.add_argument("--task", type=Path, help="Face Landmarker .task file to compare with.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(path for path in arguments.clips.iterdir() if path.suffix in {".mp4", ".avi", ".mov"})
    paths = paths[:: max(1, len(paths) // arguments.limit)][: arguments.limit]
    seconds: Seconds = defaultdict(lambda: np.zeros(2))
    total, residuals, differences = 0, [], defaultdict(list)
    MediaPipeTracker().track([np.zeros((128, 128, 3), np.uint8)])  # warm-up: imports and loads the models
    for path in paths:
        frames = list(read_video(path))
        track = speed(path, frames, seconds)
        total += len(frames)
        residuals.append(
            np.nanmean(
                fit_residual(
                    builtin_face_model(),
                    fit_clip(builtin_face_model(), track.points, track.found),
                    track.points,
                    track.found,
                )
            )
        )
        if arguments.task:
            for key, value in compare(track, LandmarkerTaskTracker(arguments.task).track(frames)).items():
                differences[key].append(value)
    print(f"{len(paths)} clips, {total} frames")
    report_speed(seconds, total)
    print(f"landmark-only fit: residual {np.mean(residuals):.5f} face units rms")
    if differences:
        print("bundled models against the .task file: mean over clips, worst clip")
    for key, values in differences.items():
        worst = min(values) if key.endswith(" r") else max(values)
        print(f"  {key:48s} {np.mean(values):8.4f} {worst:8.4f}")


if __name__ == "__main__":
    main()
