"""What would a person object to? Performances of one face as strips of consecutive frames at 25/s, below one another.

Usage: python benchmarks/performance_strips.py (--clips VIDEO ... | --image FILE --audio FILE) --output DIR
           [--store STORE] [--seeds 4] [--motion RUN] [--at SECONDS ...] [--frames 9] [--side 128] [--seconds 12]

The rows are the real clip, the regressed motion, and one sampled motion for each seed, from the first frame of the clip
and its own audio. Where lips and audio of a video are not in sync, give the track store in which they are: its audio is
then taken. A sheet is drawn around each of four moments of the real clip: where the lips shut between two wide
openings (as in m, b, p), where the mouth is widest open, where it is broadest (a smile or laugh), and in the middle of
the longest pause. --at gives other moments. With --image and --audio there is no real row, and the moments are those of
the regressed motion. DIR gets a file CLIP-MOMENT.png for each sheet.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from expnet.animate.animator import Animator
from expnet.animate.controls.apply_controls import Motion
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.framing import head_square
from expnet.animate.inputs import load_speech
from expnet.audio.alignment import FRAME_RATE
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.pauses import pauses
from expnet.audio.stored_samples import Samples
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.face.tracker import open_tracker, track_image
from expnet.media.video_reader import read_video
from expnet.render.portrait import Portrait
from shared.performance_strips import Frames, Row, around, choose_moments, draw_sheet

SIZE = 256
"""Longer side of the rendered frames in pixels."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A face and its speech.

    Attributes:
        name: Name of the sheets.
        image: The portrait, a file or (H, W, 3).
        speech: (S,) at 16 kHz.
        real: Frames of the real clip, if there is one.
    """

    name: str
    image: Path | NDArray[np.uint8]
    speech: Samples
    real: Frames | None = None


def open_clip(path: Path, seconds: float, store: TrackStore | None) -> Subject:
    """Cut the head of the first frame out of every frame of a clip, with its audio or that of a store."""
    frames = list(islice(read_video(path), round(seconds * FRAME_RATE)))
    left, top, side = head_square(track_image(frames[0]).points[0], frames[0].shape[:2])
    cut = [np.ascontiguousarray(frame[top : top + side, left : left + side]) for frame in frames]
    audio = path if store is None else np.array(store.read(path.stem).audio)
    speech = load_speech(audio)[: len(frames) * SAMPLE_RATE // FRAME_RATE]
    return Subject(path.stem, cut[0], speech, cut)


def performances(animator: Animator, portrait: Portrait, speech: Samples, seeds: int) -> dict[str, Motion]:
    """Return the regressed motion and one sampled motion for each seed, by the label of their row."""
    chosen = {"regressed": Controls(motion="regressed")}
    chosen |= {f"seed {seed}": Controls(motion="sampled", seed=seed) for seed in range(seeds)}
    return {label: animator.motion(portrait, speech, controls=controls) for label, controls in chosen.items()}


def moments_of(animator: Animator, subject: Subject, regressed: Motion) -> dict[str, int]:
    """Choose the moments of the real clip, or of the regressed motion where there is none."""
    frames = regressed.coefficients.frames
    resting = pauses(subject.speech, frames)
    if subject.real is None:
        expression = torch.from_numpy(regressed.coefficients.expression)
        identity = expression.new_zeros(frames, animator.face_model.identity_size)
        return choose_moments(animator.face_model.landmarks(identity, expression).numpy(), resting)
    track = open_tracker().track(subject.real)
    found = np.flatnonzero(track.found)
    if not len(found):
        raise InputError(f"{subject.name}: no face was found; give a clip of one person.")
    nearest = found[np.abs(found[None] - np.arange(len(track))[:, None]).argmin(axis=1)]
    return choose_moments(track.landmarks[nearest], resting[: len(track)])


def frames_at(animator: Animator, portrait: Portrait, motion: Motion, numbers: Sequence[int]) -> Frames:
    """Render some frames of a motion."""
    chosen = motion.coefficients.with_(
        **{name: getattr(motion.coefficients, name)[numbers] for name in ("expression", "rotation", "translation")}
    )
    return list(animator.render(portrait, chosen, blink=motion.blink[numbers]))


def write_sheets(animator: Animator, subject: Subject, output: Path, arguments: argparse.Namespace) -> None:
    """Draw and save every sheet of a subject."""
    portrait = animator.portrait(subject.image, Controls(size=SIZE, view="crop" if subject.real is None else "full"))
    motions = performances(animator, portrait, subject.speech, arguments.seeds)
    moments = {f"{second:g}s": round(second * FRAME_RATE) for second in arguments.at}
    moments = moments or moments_of(animator, subject, motions["regressed"])
    length = min(motion.coefficients.frames for motion in motions.values())
    length = length if subject.real is None else min(length, len(subject.real))
    for name, moment in moments.items():
        numbers = around(moment, arguments.frames, length)
        rows = [] if subject.real is None else [Row("real", [subject.real[number] for number in numbers])]
        rows += [Row(label, frames_at(animator, portrait, motion, numbers)) for label, motion in motions.items()]
        path = output / f"{subject.name}-{name}.png"
        draw_sheet(name, numbers, rows, arguments.side).save(path)
        print(path, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the sheets of every subject."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", default=[], help="Videos of one person each, with audio.")
    parser.add_argument("--store", type=Path, help="Track store of the clips whose audio is in sync.")
    parser.add_argument("--image", type=Path, help="A portrait, without a real clip.")
    parser.add_argument("--audio", type=Path, help="Its speech.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="Folder for the sheets.")
    parser.add_argument("--seeds", type=int, default=4, help="Number of sampled motions.")
    parser.add_argument("--motion", default="sampled", metavar="RUN", help="Motion network (default: the packaged).")
    parser.add_argument("--at", type=float, nargs="+", default=[], metavar="SECONDS", help="Moments to show.")
    parser.add_argument("--frames", type=int, default=9, help="Consecutive frames of a strip.")
    parser.add_argument("--side", type=int, default=128, help="Pixels of a frame in the sheet.")
    parser.add_argument("--seconds", type=float, default=12.0, help="Most seconds of a clip.")
    arguments = parser.parse_args(argv)
    if bool(arguments.clips) == (arguments.image is not None) or (arguments.image is None) != (arguments.audio is None):
        raise InputError("Give either --clips, or --image and --audio.")
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    animator = Animator(motion=arguments.motion)
    store = None if arguments.store is None else TrackStore(arguments.store)
    for clip in arguments.clips:
        write_sheets(animator, open_clip(clip, arguments.seconds, store), arguments.output, arguments)
    if arguments.image is not None:
        subject = Subject(arguments.image.stem, arguments.image, load_speech(arguments.audio))
        write_sheets(animator, subject, arguments.output, arguments)


if __name__ == "__main__":
    main()
