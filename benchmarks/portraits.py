"""Animate every portrait of a folder with every recording of another: how many become a video, and how do they look?

Usage: python benchmarks/portraits.py --portraits DIR --speech DIR --output DIR [--speeches 3] [--seconds 3]

Prints a row per portrait and writes a sheet of frames for each: at rest, and with the mouth open widest in each
recording. The mouth is tracked again in the videos: the standard deviation of its opening and the opening at its most
shut (the 5th percentile), relative to the distance of the outer eye corners.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from skimage import io, transform

from expnet.animate.animator import Animator
from expnet.audio.mel import SAMPLE_RATE
from expnet.audio.wave import load_audio
from expnet.errors import ExpnetError
from expnet.face.tracker import open_tracker

TILE = 256
INNER_LIPS = (13, 14)
OUTER_EYES = (33, 263)


def decode(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of a video, (H, W, 3) uint8."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def opening(frames: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Mouth opening in each frame relative to the eye distance, tracked in the video itself."""
    points = open_tracker().track(frames).points
    lips, eyes = (np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in (INNER_LIPS, OUTER_EYES))
    return lips / eyes


def square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fit an image into a tile."""
    height, width = image.shape[:2]
    scale = TILE / max(height, width)
    small = transform.resize(image, (round(height * scale), round(width * scale)), preserve_range=True)
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return tile


def main() -> None:
    """Animate, count, and draw the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--speeches", type=int, default=3, help="Number of recordings (%(default)s).")
    parser.add_argument("--seconds", type=float, default=3.0, help="Seconds of each recording (%(default)s).")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    images = sorted(p for p in arguments.portraits.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg"})
    recordings = sorted(arguments.speech.glob("*.wav"))[: arguments.speeches]
    animator = Animator()
    made = 0
    for image in images:
        tiles, notes = [], []
        start = time.perf_counter()
        for recording in recordings:
            samples = load_audio(recording)[: int(arguments.seconds * SAMPLE_RATE)]
            video = arguments.output / f"{image.stem}__{recording.stem}.mp4"
            try:
                animator.animate(image, samples, video)
            except ExpnetError as error:
                notes.append(str(error))
                continue
            made += 1
            frames = decode(video)
            mouth = opening(frames)
            tiles += [square(frames[0])] if not tiles else []
            tiles.append(square(frames[int(np.nanargmax(mouth))]))
            notes.append(f"{np.nanstd(mouth):.3f} / {np.nanquantile(mouth, 0.05):.3f}")
        if tiles:
            io.imsave(arguments.output / f"{image.stem}.png", np.concatenate(tiles, axis=1), check_contrast=False)
        seconds = time.perf_counter() - start
        print(f"{image.name:24s} {seconds:5.1f} s  mouth opening, spread / most shut: {', '.join(notes)}", flush=True)
    print(f"{made} of {len(images) * len(recordings)} became a video; sheets in {arguments.output}")


if __name__ == "__main__":
    main()
