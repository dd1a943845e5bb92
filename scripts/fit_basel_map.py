"""Fits the linear maps between the built-in face model and Basel coefficients: expnet/face/basel_map.safetensors.

The Basel Face Model itself is not needed: the maps are fitted on clips that have both the coefficients of
Deep3DFaceRecon's network and, from this project's tracker, those of the built-in model. The clips are the samples of
https://github.com/FuxiVirtualHuman/styletalk (MIT licence), in ``samples/{source_video,style_clips}/{3DMM,video}``.

    python scripts/fit_basel_map.py styletalk/samples --cache tracks

Errors are printed with every person left out of the fit in turn; expnet/face/basel_map.md states them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from expnet.coefficients import FaceCoefficients
from expnet.face.basel_map import PATH
from expnet.face.camera import DISTANCE, FOCAL
from expnet.face.fitting import fit_clip
from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.face.morphable import builtin_face_model
from expnet.face.rotation import euler_to_matrix
from expnet.face.tracker import open_tracker
from expnet.formats.coefficient_files import read_coefficient_file

Array = NDArray[np.float64]
EXPRESSION_PRIOR, BUILT_IN_PRIOR, LANDMARK_PRIOR = 1000.0, 100.0, 30.0
"""Weights of the squared coefficients of the maps; of 1 to 3000, those with the smallest error on people left out."""
FRAME_RATE = 30.0


@dataclass(frozen=True)
class Pair:
    """One clip under both face models.

    Attributes:
        person: Who speaks, as the name of the file says.
        ours: Coefficients of the built-in model.
        basel: Coefficients of the file.
        landmarks: (T, 68, 3) tracked landmarks in face space.
    """

    person: str
    ours: FaceCoefficients
    basel: FaceCoefficients
    landmarks: Array


def read_pairs(samples: Path, cache: Path) -> list[Pair]:
    """Track the clips of the samples whose coefficients are of the same frames."""
    pairs = []
    for kind in ("style_clips", "source_video"):
        for file in sorted((samples / kind / "3DMM").glob("*.mat")):
            video, contents = samples / kind / "video" / f"{file.stem}.mp4", read_coefficient_file(file)
            if not video.exists():
                continue
            points, size = _tracked(video, cache / f"{kind}__{file.stem}.npz")
            if size == contents.frame_size:  # otherwise the coefficients are of an uncropped video
                pairs.append(_pair(file.stem, points, contents.coefficients))
    return pairs


def _tracked(video: Path, cached: Path) -> tuple[NDArray[np.float32], tuple[int, int]]:
    if not cached.exists():
        with av.open(str(video)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        track = open_tracker().track(frames)
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cached, points=track.points, size=track.frame_size)
    with np.load(cached) as data:
        height, width = data["size"].tolist()
        return data["points"], (height, width)


def _pair(name: str, points: NDArray[np.float32], basel: FaceCoefficients) -> Pair:
    frames = min(len(points), basel.frames)
    points, basel = points[-frames:], basel[-frames:]  # some videos have two frames before their first coefficients
    model = builtin_face_model()
    ours = fit_clip(model, points, fps=FRAME_RATE)
    scale = _pixels(ours)[:, None, None]
    marks = points[:, list(LANDMARKS_68_FROM_MEDIAPIPE)] * [1.0, -1.0, -1.0] / scale  # (T, 68, 3) camera axes
    upright = (marks - marks.mean(axis=1, keepdims=True)) @ _matrices(ours)  # R^T v on row vectors
    return Pair(re.sub(r"(_talk|_?clip).*|_\d$", "", name), ours, basel, upright)


def _pixels(coefficients: FaceCoefficients) -> Array:
    """Return the pixels of a face unit in each frame (T,)."""
    crop = np.atleast_2d(coefficients.crop)
    return crop[:, 2] * FOCAL / (DISTANCE - coefficients.translation[:, 2].astype(np.float64))


def _matrices(coefficients: FaceCoefficients) -> Array:
    return euler_to_matrix(torch.from_numpy(coefficients.rotation.astype(np.float64))).numpy()


def _centred(values: NDArray) -> Array:
    flat = values.reshape(len(values), -1).astype(np.float64)
    return flat - flat.mean(axis=0)


def fit_linear(
    pairs: Iterable[Pair], given: Callable[[Pair], NDArray], wanted: Callable[[Pair], NDArray], prior: float
) -> Array:
    """Return the map (E, N) from deviations within a clip to deviations within a clip, by ridge regression."""
    clips = [(_centred(given(pair)), _centred(wanted(pair))) for pair in pairs]
    x, y = (np.concatenate(part) for part in zip(*clips, strict=True))
    return np.linalg.solve(x.T @ x + prior * np.eye(x.shape[1]), x.T @ y)


def left_out(
    pairs: list[Pair], given: Callable[[Pair], NDArray], wanted: Callable[[Pair], NDArray], prior: float
) -> list[tuple[Array, Array]]:
    """Return predicted and true deviations (T, N) of every clip, by the map of all other people."""
    rows = []
    for person in sorted({pair.person for pair in pairs}):
        fitted = fit_linear((pair for pair in pairs if pair.person != person), given, wanted, prior)
        rows += [(_centred(given(pair)) @ fitted, _centred(wanted(pair))) for pair in pairs if pair.person == person]
    return rows


def explained(rows: list[tuple[Array, Array]]) -> float:
    """Return the share of the variance within clips that is predicted."""
    error = sum(float(np.square(true - predicted).sum()) for predicted, true in rows)
    return 1 - error / sum(float(np.square(true).sum()) for _, true in rows)


def as_vertices(rows: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
    """Return changes (T, 64) of the built-in expression as shifts (T, 3V) of its vertices.

    Coefficients that hardly move the face are noise of the tracker, so errors are measured in what they move.
    """
    basis = builtin_face_model().expression_basis.double().flatten(0, 1).numpy()  # (3V, 64)
    return [(predicted @ basis.T, true @ basis.T) for predicted, true in rows]


def print_poses(pairs: list[Pair]) -> None:
    """Print how head rotations of the two agree: deviations from each clip's mean, in degrees (pitch, yaw, roll)."""
    ours, basel = (
        np.concatenate([np.rad2deg(one.rotation - one.rotation.mean(axis=0)) for one in side])
        for side in ([pair.ours for pair in pairs], [pair.basel for pair in pairs])
    )
    constant = [np.rad2deg((pair.basel.rotation - pair.ours.rotation).mean(axis=0)) for pair in pairs]
    turns, difference = ours.std(axis=0).round(2), (basel - ours).std(axis=0).round(2)
    print(f"rotations, degrees rms: turns {turns}, difference {difference}")
    print(f"constant difference of a clip {np.sqrt(np.square(constant).mean(axis=0)).round(2)}, not part of any motion")


def fit_origin(pairs: list[Pair]) -> Array:
    """Return the origin of the Basel face (3,) in the face space of the built-in model."""
    rotated, seen = [], []
    for pair in pairs:
        matrices = _matrices(pair.ours)
        places = [
            np.atleast_2d(one.crop)[:, :2] + _pixels(one)[:, None] * one.translation[:, :2] * [1.0, -1.0]
            for one in (pair.basel, pair.ours)
        ]
        rotated.append(np.stack([matrices[:, 0], -matrices[:, 1]], axis=1).reshape(-1, 3))
        seen.append(((places[0] - places[1]) / _pixels(pair.ours)[:, None]).ravel())
    rows, values = np.concatenate(rotated), np.concatenate(seen)
    origin = np.linalg.lstsq(rows, values, rcond=None)[0]
    print(f"origin {origin.round(3)}: {values.std():.3f} -> {(values - rows @ origin).std():.3f} face units")
    return origin


def print_round_trip(pairs: list[Pair]) -> None:
    """Print what is left of a motion of the built-in model that becomes Basel coefficients and returns."""
    rows = []
    for person in sorted({pair.person for pair in pairs}):
        others = [pair for pair in pairs if pair.person != person]
        there = fit_linear(others, _ours, _basel, EXPRESSION_PRIOR)
        back = fit_linear(others, _basel, _ours, BUILT_IN_PRIOR)
        clips = [_centred(_ours(pair)) for pair in pairs if pair.person == person]
        rows += [(clip @ there @ back, clip) for clip in clips]
    _print_vertices(rows, "built-in -> Basel -> built-in")


def _ours(pair: Pair) -> NDArray:
    return pair.ours.expression


def _basel(pair: Pair) -> NDArray:
    return pair.basel.expression


def _landmarks(pair: Pair) -> NDArray:
    return pair.landmarks


def main() -> None:
    """Fit the maps, print their errors and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="the folder samples of the repository")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the tracked points")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pairs = read_pairs(arguments.samples, arguments.cache)
    frames = sum(pair.ours.frames for pair in pairs)
    print(f"{len(pairs)} clips of {len({pair.person for pair in pairs})} people, {frames} frames")

    ours, basel, landmarks = _ours, _basel, _landmarks
    for name, given, wanted, prior in (
        ("built-in -> Basel", ours, basel, EXPRESSION_PRIOR),
        ("Basel -> 68 landmarks", basel, landmarks, LANDMARK_PRIOR),
        ("Basel -> built-in, in vertices", basel, ours, BUILT_IN_PRIOR),
    ):
        for factor in (0.1, 1.0, 10.0):
            rows = left_out(pairs, given, wanted, prior * factor)
            share = explained(as_vertices(rows) if wanted is ours else rows)
            print(f"{name}, prior {prior * factor:g}: {share:.3f}")
    _print_lips(left_out(pairs, basel, landmarks, LANDMARK_PRIOR), "68 landmarks of Basel coefficients")
    basis = fit_linear(pairs, basel, landmarks, LANDMARK_PRIOR)
    driven = [
        (predicted @ basis, pair_marks)
        for (predicted, _), (_, pair_marks) in zip(
            left_out(pairs, ours, basel, EXPRESSION_PRIOR),
            left_out(pairs, ours, landmarks, EXPRESSION_PRIOR),
            strict=True,
        )
    ]
    _print_lips(driven, "68 landmarks of converted coefficients")
    _print_vertices(left_out(pairs, basel, ours, BUILT_IN_PRIOR), "Basel -> built-in")
    print_round_trip(pairs)
    print_poses(pairs)
    tensors = {
        "expression": fit_linear(pairs, ours, basel, EXPRESSION_PRIOR),
        "built_in_expression": fit_linear(pairs, basel, ours, BUILT_IN_PRIOR),
        "landmark_basis": basis.reshape(-1, 68, 3).transpose(1, 2, 0),
        "origin": fit_origin(pairs),
    }
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}, PATH)
    print(PATH)


def _print_vertices(rows: list[tuple[Array, Array]], name: str) -> None:
    """Print the error of changes of the built-in expression (T, 64), in vertices and at the lips."""
    shifts = as_vertices(rows)
    error = np.sqrt(np.mean([np.square(one - other).mean() for one, other in shifts]))
    print(f"{name}: {explained(shifts):.3f} of the variance of vertices, {error:.4f} face units rms a coordinate")
    marks = builtin_face_model().landmark_indices.numpy()
    landmarks = [
        (one.reshape(len(one), -1, 3)[:, marks], other.reshape(len(other), -1, 3)[:, marks]) for one, other in shifts
    ]
    _print_lips(landmarks, f"{name}, 68 landmarks")


def _print_lips(rows: list[tuple[Array, Array]], name: str) -> None:
    """Print how well the opening of the inner lips (62 to 66) and all landmarks are predicted."""
    gaps = [[one.reshape(-1, 68, 3)[:, 62, 1] - one.reshape(-1, 68, 3)[:, 66, 1] for one in row] for row in rows]
    predicted, true = (np.concatenate(part) for part in zip(*gaps, strict=True))
    slope = float(predicted @ true / (true @ true))
    error = np.sqrt(np.mean([np.square(one - other).mean() for one, other in rows]))
    print(
        f"{name}: lip opening r {np.corrcoef(predicted, true)[0, 1]:.3f}, slope {slope:.2f}; "
        f"{error:.4f} face units rms a coordinate"
    )


if __name__ == "__main__":
    main()
