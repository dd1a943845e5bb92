"""How fast and how faithful is the mesh renderer?

    python benchmarks/render.py [--clips FOLDER] [--frames N] [--refiner RUN] [--json FILE]

Speed is in frames/s of one thread (processor time) at 256, 512 and 1024 pixels, beside x264 encoding and a plain copy
of the frame in the same run, and with a refiner if one is given. Fidelity is measured on real clips: each clip is
driven from its own first frame by its own tracked coefficients, and the result is tracked again and compared with the
input. Printed are correlation and slope of the mouth opening, the slope of the head rotation, and the PSNR of the
frames beside that of the still first frame.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from expnet.face.fitting import fit_clip
from expnet.face.morphable import builtin_face_model
from expnet.face.tracker import open_tracker
from expnet.media.video_reader import read_video, write_video
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.person_matte import person_matte
from expnet.render.portrait import open_portrait
from expnet.render.refiner.region_refiner import RegionModel, open_refiner
from shared.render_scores import slope
from shared.swaying_head import swaying


def rate(work: Callable[[], int]) -> float:
    """Frames/s of processor time, which does not count other processes on the machine."""
    start = time.process_time()
    frames = work()
    return frames / (time.process_time() - start)


def speed(size: int, frames: int, refiner: RegionModel | None) -> dict[str, float]:
    """Frames/s of rendering, encoding and copying at one size."""
    picture = Image.fromarray(astronaut()[:400, 30:430]).resize((size, size), Image.Resampling.LANCZOS)
    image, model = np.asarray(picture), builtin_face_model()
    portrait = open_portrait(image, model)
    renderer, refined = (
        MeshRenderer(image, portrait.fit, portrait.points, model, matte=portrait.matte, refiner=one)
        for one in (None, refiner)
    )
    coefficients = swaying(portrait.fit, frames)
    drawn = list(islice(renderer.render(coefficients), 20))  # also compiles
    with tempfile.TemporaryDirectory() as folder:
        encode_fps = rate(lambda: write_video(Path(folder) / "a.mp4", drawn * 3))
    if refiner is not None:
        list(islice(refined.render(coefficients), 20))  # also compiles
    return {
        "size": size,
        "render_fps": rate(lambda: sum(1 for _ in renderer.render(coefficients))),
        "refined_fps": rate(lambda: sum(1 for _ in refined.render(coefficients))) if refiner is not None else np.nan,
        "encode_fps": encode_fps,
        "copy_fps": rate(lambda: sum(1 for _ in range(2000) if drawn[0].copy() is not None)),
        "psnr_at_rest": psnr(next(renderer.render(portrait.fit)), image),
    }


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR in decibels; 99 for equal images."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return 99.0 if error == 0.0 else 10.0 * np.log10(255.0**2 / error)


def mouth_opening(points: np.ndarray) -> np.ndarray:
    """Distance of the inner lips relative to the distance of the outer eye corners, (T,)."""
    inner = np.linalg.norm(points[:, 13, :2] - points[:, 14, :2], axis=-1)
    return inner / np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=-1)


def reenact(path: Path, frames: int) -> dict[str, float | str]:
    """Drive a clip from its own first frame, and track the result."""
    model, tracker = builtin_face_model(), open_tracker()
    source = list(islice(read_video(path), frames))
    track = tracker.track(source)
    if not track.found.all():
        raise LookupError(f"no face in {int((~track.found).sum())} of {len(source)} frames")
    fit = fit_clip(model, track.points)
    renderer = MeshRenderer(source[0], fit[0], track.points[0], model, matte=person_matte(source[0], track.points[0]))
    drawn = list(renderer.render(fit))
    again = tracker.track(drawn)
    if not again.found.all():
        raise LookupError("the rendered face was lost")
    refit = fit_clip(model, again.points)
    given, got = mouth_opening(track.points), mouth_opening(again.points)
    return {
        "clip": path.stem,
        "mouth_correlation": float(np.corrcoef(given, got)[0, 1]),
        "mouth_slope": slope(got, given),
        "yaw_slope": slope(refit.rotation[:, 1], fit.rotation[:, 1]),
        "psnr": float(np.mean([psnr(a, b) for a, b in zip(source[1:], drawn[1:], strict=True)])),
        "psnr_still": float(np.mean([psnr(a, source[0]) for a in source[1:]])),
    }


def fidelity(folder: Path, frames: int) -> Iterator[dict[str, float | str]]:
    """Reenact every clip of a folder; clips that fail are reported and left out."""
    for path in sorted(folder.glob("*.mp4")):
        try:
            row = reenact(path, frames)
        except LookupError as error:
            print(f"{path.stem[:32]:32s} left out: {error}", file=sys.stderr)
            continue
        print(f"{path.stem[:32]:32s}", *(f"{row[key]:8.3f}" for key in list(row)[1:]), flush=True)
        yield row


def main() -> None:
    """Print the tables and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="Folder of real .mp4 clips.")
    parser.add_argument("--frames", type=int, default=100, help="Frames per clip, and for the timing (%(default)s).")
    parser.add_argument("--refiner", type=Path, metavar="RUN", help="Weights of a refiner to time as well.")
    parser.add_argument("--json", type=Path, help="File to write the results to.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    refiner = None if arguments.refiner is None else open_refiner(arguments.refiner)
    figures: dict[str, list] = {"speed": [speed(size, arguments.frames, refiner) for size in (256, 512, 1024)]}
    print("size  render fps  refined fps  encode fps  copy fps  psnr at rest")
    for row in figures["speed"]:
        print(
            f"{row['size']:4.0f}  {row['render_fps']:10.0f}  {row['refined_fps']:11.0f}  {row['encode_fps']:10.0f}",
            f" {row['copy_fps']:8.0f}",
            end="",
        )
        print(f"  {row['psnr_at_rest']:12.1f}")
    if arguments.clips:
        print(f"{'clip':32s}     corr    slope      yaw     psnr    still")
        figures["reenactment"] = list(fidelity(arguments.clips, arguments.frames))
        for key in ("mouth_correlation", "mouth_slope", "yaw_slope", "psnr", "psnr_still"):
            values = [row[key] for row in figures["reenactment"]]
            print(f"{key:20s} mean {np.mean(values):.3f} median {np.median(values):.3f} least {np.min(values):.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
