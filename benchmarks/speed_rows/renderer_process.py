"""One renderer in a process of its own, so that its peak memory is its own: frames/s of processor time, and memory.

    python -m speed_rows.renderer_process --renderer sadtalker --side 256 --frames 2 [--small]

Prints one JSON object. The motion arrives frame by frame, as in a stream. SadTalker's networks have random weights,
which cost the same; ``--small`` makes them small, for long streams.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

from expnet.animate.controls.apply_controls import Motion
from expnet.assets.sadtalker import SadTalkerNetworks
from expnet.face.morphable import builtin_face_model
from expnet.models.coefficient_regressor import CoefficientRegressor
from expnet.models.face_vid2vid.generator import FaceGenerator
from expnet.models.face_vid2vid.keypoints import KeypointDetector
from expnet.models.face_vid2vid.mapping import MappingNetwork
from expnet.models.face_vid2vid.sizes import PUBLISHED, SMALL, RendererSizes
from expnet.render.face_vid2vid.renderer import SadTalkerRenderer
from expnet.render.open_renderer import open_renderer
from expnet.render.portrait import Portrait, open_portrait
from expnet.render.renderer import Renderer
from shared.swaying_head import swaying

PART = 32
"""Frames of motion that are made at once; frames are drawn in streams of this many, one after the other."""


def portrait_of(side: int) -> NDArray[np.uint8]:
    """The head of scikit-image's astronaut, (side, side, 3)."""
    image = Image.fromarray(astronaut()[:256, 90:346])
    return np.asarray(image if side == 256 else image.resize((side, side), Image.Resampling.LANCZOS))


def random_networks(size: int, sizes: RendererSizes) -> SadTalkerNetworks:
    """Return SadTalker's networks with random weights."""
    torch.manual_seed(0)
    parts = (
        FaceGenerator(sizes),
        KeypointDetector(sizes),
        CoefficientRegressor(),
        MappingNetwork(73, sizes),
        MappingNetwork(70, sizes),
    )
    generator, keypoints, regressor, mapping, crop_mapping = (part.eval().requires_grad_(False) for part in parts)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    moved = (part.to(device) for part in (generator, keypoints, regressor, mapping, crop_mapping))
    return SadTalkerNetworks(size, *moved)


def parts_of(portrait: Portrait, frames: int) -> Iterator[Motion]:
    """Yield a motion of this many frames, frame by frame."""
    for start in range(0, frames, PART):
        motion = swaying(portrait.fit, PART)[: min(PART, frames - start)]
        for index in range(motion.frames):
            yield Motion(motion[index], np.zeros(1, np.float32))


def peak_megabytes() -> float:
    """Return the peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Draw frames and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renderer", choices=("mesh", "sadtalker"), required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = builtin_face_model()
    portrait = open_portrait(portrait_of(arguments.side), model, max_side=None)
    opening = time.process_time()
    renderer: Renderer
    if arguments.renderer == "mesh":
        renderer = open_renderer("mesh").make(portrait, model)
    else:
        networks = random_networks(arguments.side, SMALL if arguments.small else PUBLISHED)
        renderer = SadTalkerRenderer(portrait, model, networks)
    if arguments.renderer == "mesh":  # its loops are compiled first
        next(renderer.render(portrait.fit))
    start, before = time.process_time(), time.perf_counter()
    early = 0.0
    for drawn, _ in enumerate(renderer.render_parts(parts_of(portrait, arguments.frames)), start=1):
        if drawn == max(arguments.frames // 10, 1):
            early = peak_megabytes()
    print(
        json.dumps(
            {
                "frames": arguments.frames,
                "opening": start - opening,
                "processor": time.process_time() - start,
                "wall": time.perf_counter() - before,
                "peak_of_a_tenth": early,
                "peak_megabytes": peak_megabytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
