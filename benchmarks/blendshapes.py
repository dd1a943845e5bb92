"""Do our ARKit curves move like those of MediaPipe's blendshape network on the same real frames?

    python benchmarks/blendshapes.py STORE --task face_landmarker_v2_with_blendshapes.task [--clips 15] [--every 2]

For each clip of a store whose source video is available, the weights written by `expnet convert --to arkit`
(`expnet.formats.blendshapes`: landmark distances, no network) are compared frame by frame with those of the .task file.
The table shows Pearson's correlation within a clip, averaged over clips with a 95 % interval over speakers, and the
standard deviation of each side. A shape is not scored in clips where the network hardly moves it (deviation below .01).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mediapipe
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision
from numpy.typing import NDArray

from expnet.data.even_spacing import evenly_spaced
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.face.mediapipe_backend import quiet_native_stderr
from expnet.face.morphable import builtin_face_model
from expnet.formats.blendshapes import BLENDSHAPES, UNSEEN, blendshape_weights
from expnet.io.markdown import markdown_table
from expnet.media.video_reader import FRAME_RATE, read_video
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.render.reenactment import source_video

STILL = 0.01
"""Standard deviation of the network's weight below which a shape is not scored in a clip."""
SHAPES = tuple(name for name in BLENDSHAPES if name not in UNSEEN)


@dataclass(frozen=True)
class Agreement:
    """Agreement of two curves of one shape in one clip: Pearson's correlation and both standard deviations."""

    correlation: float
    ours: float
    theirs: float


def network_weights(frames: Iterable[NDArray[np.uint8]], task: Path) -> NDArray[np.float64]:
    """Weights (T, 52) of MediaPipe's network in the order of `BLENDSHAPES`; NaN where it finds no face."""
    options = vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(task)), output_face_blendshapes=True
    )
    rows = []
    with quiet_native_stderr(), vision.FaceLandmarker.create_from_options(options) as landmarker:
        for frame in frames:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
            found = landmarker.detect(image).face_blendshapes
            named = {shape.category_name: shape.score for shape in found[0]} if found else {}
            rows.append([named.get(name[0].lower() + name[1:], np.nan) for name in BLENDSHAPES])
    return np.array(rows, np.float64)


def agreements(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> dict[str, Agreement]:
    """Compare the weights (T, 52) of each shape over their common frames; shapes that hardly move are left out."""
    seen = np.isfinite(theirs).any(axis=1)
    found = {}
    for name in SHAPES:
        column = BLENDSHAPES.index(name)
        one, other = ours[seen, column], theirs[seen, column]
        deviations = float(one.std()), float(other.std())
        if len(one) > 2 and deviations[0] > 0 and deviations[1] >= STILL:
            found[name] = Agreement(float(np.corrcoef(one, other)[0, 1]), *deviations)
    return found


def compare(track: Track, task: Path, every: int) -> tuple[NDArray[np.floating], NDArray[np.floating]] | None:
    """Both weights (T', 52) for every ``every``-th frame of a clip, or None where its video is not available."""
    video = source_video(track)
    if video is None:
        return None
    first = round(track.source_start * FRAME_RATE)
    wanted = range(first, first + track.frames, every)
    frames = [frame for index, frame in enumerate(read_video(video, fps=float(FRAME_RATE))) if index in wanted]
    ours = blendshape_weights(builtin_face_model(), track.coefficients.expression)[::every][: len(frames)]
    return ours, network_weights(frames, task)


def main(argv: Sequence[str] | None = None) -> None:
    """Compare clip by clip, and print a row per shape, best first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--task", type=Path, required=True, help="MediaPipe's Face Landmarker with blendshapes.")
    parser.add_argument("--clips", type=int, default=15, help="Number of clips, evenly spaced (%(default)s).")
    parser.add_argument("--every", type=int, default=2, help="Distance between compared frames (%(default)s).")
    arguments = parser.parse_args(argv)
    store = TrackStore(arguments.store)
    scores: dict[str, list[tuple[str, Agreement]]] = {name: [] for name in SHAPES}
    for row in evenly_spaced(store.rows, arguments.clips):
        both = compare(store.read(row.clip_id), arguments.task, arguments.every)
        if both is None:
            print(f"{row.clip_id} is left out: its video is not available")
            continue
        for name, agreement in agreements(*both).items():
            scores[name].append((row.speaker, agreement))
    found = {name: pairs for name, pairs in scores.items() if pairs}
    best_first = sorted(found, key=lambda name: -np.mean([agreement.correlation for _, agreement in found[name]]))
    header = ("blendshape", "correlation", "clips", "deviation, ours", "the network's")
    print(markdown_table(header, [line(name, found[name]) for name in best_first]))


def line(name: str, found: Sequence[tuple[str, Agreement]]) -> tuple[str, ...]:
    """Row of a shape, from the speakers and agreements of the clips in which it moves."""
    interval = bootstrap_interval([one.correlation for _, one in found], groups=[speaker for speaker, _ in found])
    ends = "" if interval.low is None else f" [{interval.low:.2f}, {interval.high:.2f}]"
    ours, theirs = (np.mean([getattr(one, side) for _, one in found]) for side in ("ours", "theirs"))
    return name, f"{interval.mean:.2f}{ends}", str(len(found)), f"{ours:.3f}", f"{theirs:.3f}"


if __name__ == "__main__":
    main()
