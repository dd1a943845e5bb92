"""How good the renderer's pictures are: each clip is driven from its own first frame by its own coefficients.

Usage: python benchmarks/render_quality.py STORE --output DIR [--frames 40] [--clips ID ...] [--refiner RUN]
    [--lpips FILE]

The store's clips need their source videos (expnet preprocess). With --refiner there is a row without it and one with
it; it must not have seen the people (benchmarks/refiner.py leaves them out). Rows beside ours: the first frame held
still, and that frame bent by a piecewise-affine warp of the 68 landmarks tracked in the real frames, which are the
answer itself: the baseline is told where every point goes, ours only the coefficients. Pictures are compared in the
clip's crop at 256 px, and tracked there again, the real frames too; so a score holds no error of the first tracking.

--frames are spread evenly over each clip. A clip's scores are kept in DIR/clips, its widest opened mouth in
DIR/pictures: the command goes on where it was stopped. A clip that could not be scored is a row with its reason. LPIPS
is left out where its weights are not here (expnet assets list).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import Delaunay

from expnet.assets.registry import locate
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.errors import DataError, ExpnetError, InputError, MissingAssetError
from expnet.face.landmarks import LEFT_EYE, RIGHT_EYE
from expnet.face.morphable import MorphableModel, load_face_model
from expnet.face.tracker import open_tracker
from expnet.metrics import LearnedPerceptualDistance
from expnet.metrics.functional.image import psnr, ssim
from expnet.metrics.functional.landmarks import MOUTH, landmark_distance
from expnet.metrics.functional.mouth import mouth_opening, pearson
from expnet.metrics.functional.statistics import Interval, bootstrap_difference, bootstrap_interval
from expnet.models.perceptual import load_lpips
from expnet.render.mesh_renderer import MeshRenderer
from expnet.render.portrait import open_portrait
from expnet.render.rasterize import PADDING, draw_triangles, identity_map, pad_image, sample
from expnet.render.reenactment import CROP_PIXELS, cut, labelled, to_tensor
from expnet.render.refinement.pairs import read_frames
from expnet.render.region_refiner import RegionModel, open_refiner

Frames = list[NDArray[np.uint8]]
Scores = dict[str, float]

COLUMNS = {
    "psnr": "PSNR, dB ↑",
    "ssim": "SSIM ↑",
    "lpips": "LPIPS ↓",
    "landmark_distance": "landmarks, px ↓",
    "landmark_distance_mouth": "mouth landmarks, px ↓",
    "mouth_error": "mouth region, grey levels ↓",
    "mouth_sharpness": "mouth sharpness over real (1 is best)",
    "eye_error": "eye region, grey levels ↓",
    "mouth_opening_correlation": "mouth opening, correlation ↑",
    "mouth_opening_slope": "mouth opening, slope (1 is best)",
}
OURS, REFINED, STILL, AFFINE = "ours", "ours, refined", "first_frame", "piecewise_affine"
AIM = 0.95
"""Correlation of the mouth's opening that every clip should reach."""
_MARGIN = 0.25
"""Of a region's box, added around it on each side."""


class PiecewiseAffine:
    """The plain baseline: a picture whose 68 landmarks carry triangles, pinned at the border.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (68, 2) in its pixels.
    """

    def __init__(self, image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> None:
        height, width = image.shape[:2]
        across, down = np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5)
        grid = np.stack(np.meshgrid(across, down), axis=-1)  # (5, 5, 2)
        inner = np.zeros((5, 5), bool)
        inner[1:-1, 1:-1] = True
        self._border = grid[~inner]
        self._sources = np.concatenate([landmarks.astype(np.float64), self._border])
        self._triangles = Delaunay(self._sources).simplices.astype(np.int32)
        self._padded, self._plate = pad_image(image), image.astype(np.float32)

    def warp(self, landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Carry the landmarks to other places (68, 2)."""
        height, width = self._plate.shape[:2]
        places = np.concatenate([landmarks.astype(np.float64), self._border])
        vertices = np.c_[places, np.zeros(len(places))]
        source_map, depth = identity_map(height, width), np.full((height, width), -np.inf, np.float32)
        draw_triangles(vertices, self._sources, self._triangles, source_map, depth)
        frame = np.empty((height, width, 3), np.uint8)
        sample(self._padded, source_map, PADDING, self._plate, frame)
        return frame


def spread(valid: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """The first frame that was seen, and others spread evenly over those that follow it."""
    seen = np.flatnonzero(valid)
    return seen[np.unique(np.linspace(0, len(seen) - 1, min(count + 1, len(seen))).round().astype(int))]


def draw(
    track: Track, chosen: NDArray[np.int64], frames: Frames, model: MorphableModel, refiner: RegionModel | None
) -> dict[str, Frames]:
    """The systems' pictures of a clip's chosen frames, in its crop at 256 px; the first of them is the portrait."""
    crop = track.coefficients.crop
    assert crop is not None
    portrait = open_portrait(frames[0], model, max_side=None)
    coefficients = track.coefficients
    fit = coefficients[chosen[0] : chosen[0] + 1]
    asked = {OURS: None} if refiner is None else {OURS: None, REFINED: refiner}
    renderers = {
        name: MeshRenderer(portrait.image, fit, portrait.points, model, matte=portrait.matte, refiner=one)
        for name, one in asked.items()
    }
    rows = coefficients.with_(
        expression=coefficients.expression[chosen],
        rotation=coefficients.rotation[chosen],
        translation=coefficients.translation[chosen],
    )
    first = cut(frames[0], crop)
    landmarks = (track.landmarks[chosen] - crop[:2]) * (CROP_PIXELS / crop[2]) + CROP_PIXELS / 2
    affine = PiecewiseAffine(first, landmarks[0])
    return {
        **{name: [cut(frame, crop) for frame in renderer.render(rows)] for name, renderer in renderers.items()},
        AFFINE: [affine.warp(points) for points in landmarks],
        STILL: [first] * len(chosen),
    }


def boxes(landmarks: NDArray[np.floating], points: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """The box around some landmarks (T, 68, 2), with a margin, in each frame."""
    for places in landmarks[:, list(points)]:
        low, high = places.min(axis=0), places.max(axis=0)
        margin = _MARGIN * (high - low).max()
        left, top = np.maximum(low - margin, 0).astype(int)
        right, bottom = np.ceil(high + margin).astype(int)
        yield np.s_[top:bottom, left:right]


def region_error(drawn: Frames, real: Frames, landmarks: NDArray[np.floating], points: Sequence[int]) -> float:
    """Mean absolute difference inside the box around some landmarks (T, 68, 2) of the real frames, grey levels."""
    places = zip(drawn, real, boxes(landmarks, points), strict=True)
    return float(np.mean([np.abs(one[box].astype(float) - other[box]).mean() for one, other, box in places]))


def region_sharpness(drawn: Frames, real: Frames, landmarks: NDArray[np.floating], points: Sequence[int]) -> float:
    """Mean length of the gradient inside of those boxes, over that of the real frames: a blur is below 1."""
    pairs = zip(drawn, real, boxes(landmarks, points), strict=True)
    lengths = [[np.hypot(*np.gradient(one[box].mean(axis=-1))).mean() for one in pair] for *pair, box in pairs]
    ours, true = np.sum(lengths, axis=0)
    return float(ours / max(true, 1e-12))


def slope(got: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """Least-squares slope of what came back on what was put in."""
    centred = given - given.mean()
    return float(centred @ got / max(float(centred @ centred), 1e-12))


def tracked(frames: Frames) -> NDArray[np.float32]:
    """The 68 landmarks of every frame, (T, 68, 2).

    Raises:
        DataError: a frame shows no face.
    """
    track = open_tracker().track(frames)
    if not track.found.all():
        raise DataError(f"no face is found in {int((~track.found).sum())} of the {len(frames)} crops")
    return track.landmarks


def score(
    drawn: Frames, real: Frames, given: NDArray[np.float32], perceptual: Callable[..., torch.Tensor] | None
) -> Scores:
    """Compare one system's frames with the real ones, whose landmarks (T, 68, 2) are given."""
    got, known = torch.from_numpy(tracked(drawn)), torch.from_numpy(given)
    # The first frame is the portrait itself: it says nothing.
    pictures, points = (to_tensor(drawn[1:]), to_tensor(real[1:])), (got[1:], known[1:])
    openings = [mouth_opening(one) for one in points]
    scores = {
        "psnr": float(psnr(*pictures).mean()),
        "ssim": float(ssim(*pictures).mean()),
        "landmark_distance": float(landmark_distance(*points, normalisation="pixels_256")),
        "landmark_distance_mouth": float(landmark_distance(*points, normalisation="pixels_256", region="mouth")),
        "mouth_error": region_error(drawn[1:], real[1:], given[1:], range(MOUTH.start, MOUTH.stop)),
        "mouth_sharpness": region_sharpness(drawn[1:], real[1:], given[1:], range(MOUTH.start, MOUTH.stop)),
        "eye_error": region_error(drawn[1:], real[1:], given[1:], (*RIGHT_EYE, *LEFT_EYE)),
        "mouth_opening_correlation": float(pearson(*openings, still=1e-4)),
        "mouth_opening_slope": slope(openings[0].numpy(), openings[1].numpy()),
    }
    if perceptual is not None:
        scores["lpips"] = float(perceptual(*pictures).mean())
    return scores


def examine(
    track: Track,
    model: MorphableModel,
    count: int,
    perceptual: Callable[..., torch.Tensor] | None,
    picture: Path,
    refiner: RegionModel | None = None,
) -> dict[str, Scores]:
    """Score every system on one clip, and draw the frame in which the real mouth is open widest."""
    chosen = spread(track.valid, count)
    frames = list(read_frames(track, chosen).values())
    crop = track.coefficients.crop
    if crop is None:
        raise DataError("the clip has no crop, so its pictures cannot be compared")
    real = [cut(frame, crop) for frame in frames]
    systems = draw(track, chosen, frames, model, refiner)
    widest = int(mouth_opening(torch.from_numpy(track.landmarks[chosen])).argmax())
    tiles = [("portrait", real[0]), ("real", real[widest])]
    tiles += [(name, frames[widest]) for name, frames in systems.items() if name != STILL]
    Image.fromarray(labelled(tiles)).save(picture)
    given = tracked(real)
    return {name: score(drawn, real, given, perceptual) for name, drawn in systems.items()}


def open_perceptual(given: Path | None) -> Callable[..., torch.Tensor] | None:
    """LPIPS by frame, None where its weights are not here."""
    try:
        weights = locate("alexnet", given)
    except MissingAssetError as error:
        print(f"LPIPS is left out. {error}")
        return None
    return LearnedPerceptualDistance(load_lpips("alex", weights)).image_score


def examine_all(arguments: argparse.Namespace) -> list[dict]:
    """Score every clip that is not scored yet; a row a clip."""
    store = TrackStore(arguments.store)
    model, perceptual = load_face_model(store.face_model), open_perceptual(arguments.lpips)
    refiner = None if arguments.refiner is None else open_refiner(arguments.refiner)
    settings = {
        "store": store.fingerprint(),
        "frames": arguments.frames,
        "lpips": perceptual is not None,
        "refiner": None if arguments.refiner is None else str(arguments.refiner),
    }
    for folder in ("clips", "pictures"):
        (arguments.output / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in store.rows:
        if arguments.clips and clip.clip_id not in arguments.clips:
            continue
        file = arguments.output / "clips" / f"{clip.clip_id}.json"
        if not file.is_file():
            row: dict = {"clip": clip.clip_id, "speaker": clip.speaker, "settings": settings}
            picture = arguments.output / "pictures" / f"{clip.clip_id}.png"
            try:
                track = store.read(clip.clip_id)
                row["systems"] = examine(track, model, arguments.frames, perceptual, picture, refiner)
            except ExpnetError as error:
                row["reason"] = str(error)
            beside = file.with_suffix(".partial")
            beside.write_text(json.dumps(row, indent=1), encoding="utf-8")
            beside.replace(file)
        rows.append(json.loads(file.read_text(encoding="utf-8")))
        if rows[-1]["settings"] != settings:
            raise InputError(
                f"{file} was made with another store, --frames, --refiner or --lpips; give another --output."
            )
        print(describe(rows[-1]), flush=True)
    return rows


def describe(row: dict) -> str:
    """One line on a clip: our scores."""
    if "reason" in row:
        return f"{row['clip'][:32]:32s} left out: {row['reason']}"
    ours = row["systems"].get(REFINED, row["systems"][OURS])
    return f"{row['clip'][:32]:32s} " + " ".join(f"{ours.get(key, np.nan):7.3f}" for key in COLUMNS)


def table(rows: list[dict]) -> str:
    """Means with intervals over people, paired differences to ours, and the clips below the aim, as Markdown."""
    scored = [row for row in rows if "systems" in row]
    if not scored:
        raise InputError("no clip could be scored; see the reasons above.")
    people = [row["speaker"] for row in scored]
    keys = [key for key in COLUMNS if key in scored[0]["systems"][OURS]]

    def column(system: str, key: str) -> list[float]:
        return [row["systems"][system][key] for row in scored]

    lines = [f"{len(scored)} clips of {len(set(people))} people; 95 % intervals over people.", ""]
    lines += ["| | " + " | ".join(COLUMNS[key] for key in keys) + " |", "|---" * (len(keys) + 1) + "|"]
    best = REFINED if REFINED in scored[0]["systems"] else OURS
    for system in scored[0]["systems"]:
        cells = [text(bootstrap_interval(column(system, key), groups=people)) for key in keys]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    for system in (name for name in scored[0]["systems"] if name != best):
        cells = [text(bootstrap_difference(column(best, k), column(system, k), groups=people)) for k in keys]
        lines.append(f"| {best} - {system} | " + " | ".join(cells) + " |")
    reached = dict(zip((row["clip"] for row in scored), column(best, "mouth_opening_correlation"), strict=True))
    below = [f"{clip} {value:.3f}" for clip, value in sorted(reached.items(), key=lambda item: item[1]) if value < AIM]
    lines += ["", f"Mouth opening below {AIM}: {', '.join(below) or 'no clip'}."]
    lines += [f"{row['clip']} is left out: {row['reason']}" for row in rows if "reason" in row]
    return "\n".join(lines) + "\n"


def text(interval: Interval) -> str:
    """A mean and its interval."""
    ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return f"{interval.mean:.3f}{ends}"


def main(argv: Sequence[str] | None = None) -> None:
    """Score the clips and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="track store whose source videos are here")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores, pictures and table.md")
    parser.add_argument("--frames", type=int, default=40, help="frames a clip, beside its first one")
    parser.add_argument("--clips", nargs="*", metavar="ID", help="only these clips")
    parser.add_argument("--refiner", type=Path, metavar="RUN", help="weights of a refiner that has not seen the people")
    parser.add_argument("--lpips", type=Path, help="AlexNet's weights, where they lie elsewhere")
    arguments = parser.parse_args(argv)
    if arguments.frames < 3:
        parser.error("--frames must be at least 3: a correlation needs them.")
    written = table(examine_all(arguments))
    (arguments.output / "table.md").write_text(written, encoding="utf-8")
    print("\n" + written)


if __name__ == "__main__":
    main()
