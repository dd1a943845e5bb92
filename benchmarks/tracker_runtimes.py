"""The same models run by mediapipe and by LiteRT: points, coefficients and speed, beside what one tracker gives twice.

    python benchmarks/tracker_runtimes.py --clips CLIPS --portraits PORTRAITS --limit 8 \
        --task ASSETS/face_landmarker_v2_with_blendshapes.task

The first tracker that this environment has of mediapipe and litert is the reference. "from the second frame" is the
reference begun one frame later, "moved by a pixel" the reference on frames moved to the right, with the points moved
back. Both measure how well the tracker knows the points itself: each frame is cropped by the points of the one before,
so that the rounding of pixels grows into some hundredths of a pixel.

    python benchmarks/tracker_runtimes.py --clips CLIPS --limit 8 --keep mediapipe.npz
    python benchmarks/tracker_runtimes.py --clips CLIPS --limit 8 --against mediapipe.npz

compares two environments: the first command keeps the points of its reference, and the second, run with another
version of Python or mediapipe, takes them for its own reference.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from expnet.errors import InputError
from expnet.face.mediapipe_backend import has_solutions
from expnet.face.tracker import (
    FaceTracker,
    LandmarkerTaskTracker,
    LandmarkTrack,
    LiteRtTracker,
    MediaPipeTracker,
    track_image,
)
from expnet.io.markdown import markdown_table
from expnet.media.video_reader import read_video
from shared.track_differences import compare

Frames = list[np.ndarray]
Row = dict[str, float]

MEASURES = (
    ("points apart, mean (pixels)", "points, mean"),
    ("points apart, 99 % (pixels)", "points, 99 %"),
    ("points apart, largest (pixels)", "points, largest"),
    ("expression offset (face units rms)", "expression offset"),
    ("expression motion, difference (face units rms)", "expression motion"),
    ("rotation motion, difference (degrees rms)", "rotation (degrees)"),
    ("mouth opening r", "mouth opening r"),
    ("frames found by one only", "found by one only"),
)


def distances(one: LandmarkTrack, other: LandmarkTrack) -> np.ndarray:
    """Distances in pixels (N,) of all points in the frames in which both tracks have a face."""
    both = one.found & other.found
    return np.linalg.norm((one.points - other.points)[both][..., :2], axis=-1).ravel()


def differences(reference: LandmarkTrack, other: LandmarkTrack) -> Row:
    """The measures of one clip."""
    apart = distances(reference, other)
    points = (apart.mean(), np.percentile(apart, 99), apart.max())
    names = [name for name, _ in MEASURES[:3]]
    return compare(reference, other) | dict(zip(names, map(float, points), strict=True))


def begun_later(tracker: FaceTracker, frames: Frames) -> LandmarkTrack:
    """A track begun with the second frame; the first has no face."""
    track = tracker.track(frames[1:])
    missing = np.full_like(track.points[:1], np.nan)
    return replace(track, points=np.concatenate([missing, track.points]), found=np.append(False, track.found))


def moved(tracker: FaceTracker, frames: Frames) -> LandmarkTrack:
    """A track of frames moved by one pixel, moved back."""
    track = tracker.track([np.concatenate([frame[:, :1], frame[:, :-1]], axis=1) for frame in frames])
    return replace(track, points=track.points - np.array([1, 0, 0], np.float32))


def trackers(task: Path | None) -> dict[str, FaceTracker]:
    """The trackers of this environment, the reference first."""
    found: dict[str, FaceTracker] = {"mediapipe": MediaPipeTracker()} if has_solutions() else {}
    found["litert"] = LiteRtTracker()
    return found | ({"the .task file": LandmarkerTaskTracker(task)} if task else {})


def run_clips(paths: list[Path], task: Path | None, kept: dict[str, np.ndarray], *, keeping: bool) -> int:
    """Track the clips, print the tables, and return the number of frames."""
    rows: dict[str, list[Row]] = defaultdict(list)
    speed: dict[str, list[float]] = defaultdict(list)
    total = 0
    for path in paths:
        frames = list(read_video(path))
        total += len(frames)
        tracks: dict[str, LandmarkTrack] = {}
        for name, tracker in trackers(task).items():
            start = time.process_time()
            tracks[name] = tracker.track(frames)
            speed[name].append((time.process_time() - start) / len(frames))
        first = next(iter(tracks))
        reference = tracks[first]
        if keeping:
            kept[path.stem] = reference.points
            continue
        if path.stem in kept:
            points = kept[path.stem]
            reference = LandmarkTrack(points, np.isfinite(points[:, 0, 0]), reference.frame_size)
        else:
            del tracks[first]
            again: tuple[tuple[str, Callable[..., LandmarkTrack]], ...] = (
                ("from the second frame", begun_later),
                ("moved by a pixel", moved),
            )
            for name, way in again:
                tracks[f"{first}, {name}"] = way(trackers(None)[first], frames)
        for name, track in tracks.items():
            rows[name].append(differences(reference, track))
    if keeping:
        return total
    for name, found in rows.items():
        print(f"{name}: mean over clips, worst clip")
        for key, title in MEASURES:
            values = [row[key] for row in found]
            print(f"  {title:24s} {np.mean(values):8.4f} {(min if key.endswith(' r') else max)(values):8.4f}")
    header = ["compared with the reference", *(title for _, title in MEASURES)]
    print(markdown_table(header, [[name, *_means(found)] for name, found in rows.items()]))
    for name, seconds in speed.items():
        print(f"{name:16s} {1000 * np.mean(seconds):6.2f} ms a frame, processor")
    return total


def _means(found: list[Row]) -> list[str]:
    return [f"{np.mean([row[key] for row in found]):.4f}" for key, _ in MEASURES]


def run_portraits(folder: Path) -> None:
    """Compare the two runtimes on still images, each refused by both or by neither."""
    apart, refused = [], 0
    for path in sorted(folder.iterdir()):
        if path.suffix not in {".png", ".jpg", ".jpeg"}:
            continue
        image = np.asarray(Image.open(path).convert("RGB"))
        found = []
        for tracker in (MediaPipeTracker(), LiteRtTracker()):
            try:
                found.append(track_image(image, tracker=tracker))
            except InputError:
                found.append(None)
        if found[0] is None or found[1] is None:
            refused += 1
            if (found[0] is None) != (found[1] is None):
                print(f"{path.name}: one of the two finds no face")
            continue
        apart.append(distances(found[0], found[1]))
    means, largest = [one.mean() for one in apart], [one.max() for one in apart]
    print(
        f"{len(apart)} portraits (and {refused} refused): points apart {np.mean(means):.4f} pixels in the mean, "
        f"{max(means):.4f} in the worst, {max(largest):.3f} the largest of any point"
    )


def main() -> None:
    """Run the clips and portraits and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="Folder of videos.")
    parser.add_argument("--portraits", type=Path, help="Folder of images.")
    parser.add_argument("--limit", type=int, default=8, help="Number of clips, evenly spaced in the sorted list.")
    parser.add_argument("--task", type=Path, help="Face Landmarker .task file to compare with.")
    parser.add_argument("--keep", type=Path, help="File to keep the points of the reference in.")
    parser.add_argument("--against", type=Path, help="File of kept points, the reference.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(path for path in arguments.clips.iterdir() if path.suffix in {".mp4", ".avi", ".mov"})
    paths = paths[:: max(1, len(paths) // arguments.limit)][: arguments.limit]
    kept = dict(np.load(arguments.against)) if arguments.against else {}
    print(f"reference: {arguments.against or next(iter(trackers(None)))}")
    frames = run_clips(paths, arguments.task, kept, keeping=arguments.keep is not None)
    print(f"{len(paths)} clips, {frames} frames")
    if arguments.keep:
        np.savez_compressed(arguments.keep, **kept)
    if arguments.portraits:
        run_portraits(arguments.portraits)


if __name__ == "__main__":
    main()
