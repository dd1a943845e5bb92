"""The pictures of docs/gallery.md: what the renderer and its controls do, on a portrait that anybody may show.

Usage: python scripts/gallery.py [--output docs/gallery]

The portrait is scikit-image's astronaut (Eileen Collins, a NASA photograph in the public domain), and a painting made
of it here; the voice is the built-in one. Everything is made anew: no picture is kept from elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import data

from expnet import Animator
from expnet.animate.controls.controls import Controls
from expnet.animate.controls.motion_scale import close_lips
from expnet.audio.speech_synthesis import synthesize_speech
from expnet.coefficients import concatenate
from expnet.face.emotions import EMOTIONS
from expnet.face.facial_features import FEATURES, feature_space
from expnet.render.lips import LOWER_ROWS, UPPER_ROWS
from expnet.render.portrait import Portrait
from expnet.render.portrait_motion import PortraitMotion
from expnet.render.reenactment import label_images

TEXT = "Hello! I am one single picture, and I speak with whatever voice you give me."
VIEW = Controls(view="crop", size=256)
SMALL = Controls(view="crop", size=192)
Pose = tuple[dict[str, float], tuple[float, float, float], float]
# What a face does in one picture: a change of features (outer-eye-corner distances), of pitch, yaw and roll, and of
# the lids; some from shut lips.
POSES: dict[str, Pose] = {
    "the portrait": ({}, (0.0, 0.0, 0.0), 0.0),
    "lips shut": ({}, (0.0, 0.0, 0.0), 0.0),
    "mouth open": ({"lip_gap": 0.12, "chin": -0.1}, (0.0, 0.0, 0.0), 0.0),
    "eyes shut": ({}, (0.0, 0.0, 0.0), 1.0),
    "turned left": ({}, (0.0, -0.3, 0.0), 0.0),
    "turned right": ({}, (0.0, 0.3, 0.0), 0.0),
    "nod": ({}, (0.2, 0.0, 0.0), 0.0),
    "lean": ({}, (0.0, 0.0, 0.2), 0.0),
}
FROM_SHUT_LIPS = ("lips shut", "eyes shut")

Frame = NDArray[np.uint8]


def painted(picture: Frame) -> Frame:
    """An oil painting of a photograph: each pixel the mean colour of the most common brightness around it."""
    grey = picture.mean(axis=-1)
    levels, best = 14, np.zeros(grey.shape)
    painting = picture.astype(float)
    for level in range(levels):
        here = (grey * levels / 256).astype(int) == level
        share = ndimage.gaussian_filter(here.astype(float), 2.0)
        colour = [ndimage.gaussian_filter(picture[..., c] * here.astype(float), 2.0) for c in range(3)]
        most = share > best
        best[most] = share[most]
        painting[most] = (np.stack(colour, axis=-1) / np.maximum(share, 1e-6)[..., None])[most]
    return np.clip(painting + 0.5, 0, 255).astype(np.uint8)


def poses(animator: Animator, picture: Frame) -> Frame:
    """One portrait as it is, with its mouth open and shut, its eyes shut, and turned."""
    portrait = animator.portrait(picture, SMALL)
    space, still = feature_space(animator.face_model), concatenate([portrait.fit] * len(POSES))
    features, turns, blink = (np.array(column) for column in zip(*map(numbers, POSES.values()), strict=True))
    shut = np.isin(list(POSES), FROM_SHUT_LIPS)[:, None]
    expression = np.where(shut, close_lips(animator.face_model, portrait.fit), still.expression)
    driven = still.with_(expression=expression + features @ space.inverse.T, rotation=still.rotation + turns)
    return two_rows(list(zip(POSES, animator.render(portrait, driven, blink=blink), strict=True)))


def numbers(pose: Pose) -> tuple[list[float], tuple[float, float, float], float]:
    """A pose with its features in their own order."""
    features, turn, lids = pose
    return [features.get(name, 0.0) for name in FEATURES], turn, lids


def emotions(animator: Animator, picture: Frame, samples: NDArray[np.float32]) -> Frame:
    """The same moment of the same speech with each emotion."""
    frames = {}
    for name in EMOTIONS:
        controls = Controls(view="crop", size=192, emotion=name, level=3, still=True, blink="none")
        frames[name] = widest(animator, animator.portrait(picture, controls), samples, controls)
    return two_rows(list(frames.items()))


def widest(animator: Animator, portrait: Portrait, samples: NDArray[np.float32], controls: Controls) -> Frame:
    """The frame of a speech in which the mouth is widest open, once everything has set in."""
    motion = animator.motion(portrait, samples, controls=controls)
    moving = PortraitMotion(portrait.points, portrait.fit, animator.face_model)
    moved, _ = moving.displacements(motion.coefficients.expression)
    opening = moved[:, UPPER_ROWS[0][5], 1] - moved[:, LOWER_ROWS[0][5], 1]
    at = 20 + int(opening[20:].argmax())
    return next(animator.render(portrait, motion.coefficients[at : at + 1], blink=motion.blink[at : at + 1]))


def pictures(animator: Animator, picture: Frame) -> Frame:
    """Gaze and background."""
    chosen = {
        "gaze left": Controls(view="crop", size=192, gaze=(-20.0, 0.0)),
        "gaze right": Controls(view="crop", size=192, gaze=(20.0, 0.0)),
        "background blur": Controls(view="crop", size=192, background="blur"),
        "background #d8e4f0": Controls(view="crop", size=192, background="#d8e4f0"),
    }
    tiles = []
    for name, controls in chosen.items():
        portrait = animator.portrait(picture, controls)
        turned = portrait.fit.with_(rotation=portrait.fit.rotation + np.array([[0.0, 0.15, 0.0]], np.float32))
        tiles.append((name, next(animator.render(portrait, turned if "background" in name else portrait.fit))))
    return label_images(tiles)


def two_rows(tiles: Sequence[tuple[str, Frame]]) -> Frame:
    """Labelled pictures in two rows."""
    half = len(tiles) // 2
    return np.concatenate([label_images(tiles[:half]), label_images(tiles[half:])])


def save_moving(path: Path, frames: Sequence[Frame]) -> None:
    """Write an animated WebP at half the frame rate, which keeps it small."""
    first, *rest = [Image.fromarray(frame) for frame in frames[::2]]
    first.save(path, save_all=True, append_images=rest, duration=80, loop=0, quality=60, method=6)


def main(argv: Sequence[str] | None = None) -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/gallery"), help="folder of the pictures")
    output = parser.parse_args(argv).output
    output.mkdir(parents=True, exist_ok=True)
    animator, picture = Animator(), np.ascontiguousarray(data.astronaut())
    samples = synthesize_speech(TEXT).samples.astype(np.float32)
    save_moving(output / "talking.webp", list(animator.frames(picture, samples, VIEW)))
    save_moving(output / "painting.webp", list(animator.frames(painted(picture), samples, VIEW, seed=1)))
    sheets = {
        "poses": poses(animator, picture),
        "painting": poses(animator, painted(picture)),
        "emotions": emotions(animator, picture, samples),
        "pictures": pictures(animator, picture),
    }
    for name, sheet in sheets.items():
        Image.fromarray(sheet).save(output / f"{name}.jpg", quality=88)
    for path in sorted(output.iterdir()):
        print(f"{path}  {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
