"""Build the built-in face model from folders of videos or of cached tracks.

    python scripts/build_face_model.py --clips DIR... --output expnet/face/mediapipe468.safetensors \
        --same-person grid_a=s1 grid_g=s2 grid_e=s23

A folder contains videos, which are tracked (about 4 ms a frame), or .npz tracks (points (T, 478, 3) in pixels, found
(T,)), and a manifest.csv with the columns file and person (or speaker). A clip that is not listed counts as a person of
its own; --one-person FOLDER=NAME assigns all clips of a folder to one person. Only statistics over all people are
written to the file.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from expnet.face.landmarks import LANDMARKS_68_FROM_MEDIAPIPE
from expnet.io.atomic import atomic_path
from learned_face.learning import LinearFace, TrackedClip, camera_axes, keep_signs, learn_face
from learned_face.topology import mesh_triangles

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"}
MINIMUM_FRAMES = 20


def read_people(folder: Path) -> dict[str, str]:
    """Read the person of each clip from the folder's manifest.csv."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(newline="") as file:
        return {Path(row["file"]).stem: row.get("person") or row["speaker"] for row in csv.DictReader(file)}


def read_track(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points and found flags of a cached track or of a video."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as data:
            return data["points"], data["found"]
    from expnet.face.tracker import MediaPipeTracker
    from expnet.media.video_reader import read_video

    track = MediaPipeTracker().track(read_video(path))
    return track.points, track.found


def load_clips(
    folders: list[Path], *, tracks: list[Path], same: dict[str, str], one_person: dict[str, str]
) -> list[TrackedClip]:
    """Read every clip of the folders in which a face is found in at least MINIMUM_FRAMES frames.

    Args:
        folders: Folders of videos or of .npz tracks, with their manifest.csv.
        tracks: Folders of cached .npz tracks that replace the videos of the same name.
        same: Person for each other name of the same person.
        one_person: Person of every clip in a folder, by name of the folder.
    """
    cached = {path.stem: path for folder in tracks for path in folder.glob("*.npz")}
    clips = []
    for folder in folders:
        people = read_people(folder)
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in VIDEO_SUFFIXES | {".npz"}:
                continue
            person = one_person.get(folder.name) or people.get(path.stem, path.stem)
            points, found = read_track(cached.get(path.stem, path))
            if found.sum() >= MINIMUM_FRAMES:
                clips.append(TrackedClip(path.stem, same.get(person, person), camera_axes(points[found])))
    return clips


def write_model(face: LinearFace, output: Path, clips: int) -> None:
    """Write the model atomically."""
    data = {
        "mean": face.mean.astype(np.float32),
        "identity_basis": face.identity_basis.astype(np.float32),
        "expression_basis": face.expression_basis.astype(np.float32),
        "triangles": mesh_triangles(face.mean).astype(np.int32),
        "landmark_indices": np.array(LANDMARKS_68_FROM_MEDIAPIPE, dtype=np.int32),
        "fit_weights": face.vertex_weight.astype(np.float32),
        "rigidity": face.rigidity.astype(np.float32),
    }
    facts = {
        "name": output.stem,
        "format": "expnet-face-model-1",
        "noise": round(face.noise, 7),
        "identity_noise": round(face.identity_noise, 7),
        "people": face.people,
        "clips": clips,
        "frames": face.frames,
    }
    # One key, because safetensors writes several keys in an order that changes from run to run.
    metadata = {"face_model": json.dumps(facts)}
    with atomic_path(output) as partial:
        save_file({key: np.ascontiguousarray(value) for key, value in data.items()}, partial, metadata)


def parse_pairs(pairs: list[str]) -> dict[str, str]:
    """["a=b"] -> {"a": "b"}."""
    return dict(pair.split("=", 1) for pair in pairs)


def add_clip_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select clips and name their people."""
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="Folders of videos or .npz tracks.")
    parser.add_argument("--tracks", type=Path, nargs="*", default=[], help="Folders of .npz tracks of these videos.")
    parser.add_argument("--same-person", nargs="*", default=[], metavar="A=B", help="Two names of one person.")
    parser.add_argument("--one-person", nargs="*", default=[], metavar="FOLDER=NAME", help="Person of a whole folder.")


def clips_from(arguments: argparse.Namespace) -> list[TrackedClip]:
    """Load the clips selected by the arguments of `add_clip_arguments`."""
    return load_clips(
        arguments.clips,
        tracks=arguments.tracks,
        same=parse_pairs(arguments.same_person),
        one_person=parse_pairs(arguments.one_person),
    )


def main() -> None:
    """Build and write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_clip_arguments(parser)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--identity", type=int, default=40, help="Number of identity components (%(default)s).")
    parser.add_argument("--expression", type=int, default=64, help="Number of expression components (%(default)s).")
    parser.add_argument("--like", type=Path, help="Earlier model whose signs of the components are kept.")
    arguments = parser.parse_args()
    clips = clips_from(arguments)
    face = learn_face(clips, identity=arguments.identity, expression=arguments.expression)
    if arguments.like:
        earlier = load_file(arguments.like)
        face = keep_signs(face, earlier["identity_basis"], earlier["expression_basis"])
    write_model(face, arguments.output, len(clips))
    print(
        f"{arguments.output}: {face.people} people, {len(clips)} clips, {face.frames} frames; "
        f"noise {face.noise:.5f}, identity noise {face.identity_noise:.5f} face units"
    )


if __name__ == "__main__":
    main()
