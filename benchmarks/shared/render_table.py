"""Scores of rendered clips, which resume after an interruption, and their table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from expnet.assets.registry import locate
from expnet.data.store.track_store import TrackStore
from expnet.errors import ExpnetError, InputError, MissingAssetError
from expnet.face.morphable import load_face_model
from expnet.io.atomic import write_atomically
from expnet.io.markdown import markdown_table
from expnet.metrics import LearnedPerceptualDistance
from expnet.metrics.functional.statistics import Interval, bootstrap_difference, bootstrap_interval
from expnet.models.perceptual import load_lpips
from expnet.render.refiner.region_refiner import open_refiner
from shared.inner_mouth import BINS, inner_mouth_table
from shared.inner_mouth_flicker import TRIPLES, flicker_line
from shared.inner_mouth_sheet import SHEET, stack_sheets
from shared.opening_errors import CLOSED, opening_table
from shared.render_scores import AFFINE, OURS, REFINED, REPEATED, STILL, examine

COLUMNS = {
    "psnr": "PSNR, dB ↑",
    "ssim": "SSIM ↑",
    "lpips": "LPIPS ↓",
    "landmark_distance": "landmarks, px ↓",
    "landmark_distance_mouth": "mouth landmarks, px ↓",
    "mouth_error": "mouth region, grey levels ↓",
    "mouth_sharpness": "mouth sharpness over real (1 is best)",
    "eye_error": "eye region, grey levels ↓",
    "mouth_opening_error": "mouth opening, error, px ↓",
    "mouth_opening_correlation": "mouth opening, correlation ↑",
    "mouth_opening_slope": "mouth opening, slope (1 is best)",
}
AIM = 0.95
"""Correlation of the mouth opening that every clip should reach."""
SLOPES = (0.95, 1.05)
"""Slopes of the mouth opening that count as right."""


def open_perceptual(given: Path | None) -> Callable[..., torch.Tensor] | None:
    """LPIPS for each frame, or None where its weights are not available."""
    try:
        weights = locate("alexnet", given)
    except MissingAssetError as error:
        print(f"LPIPS is left out. {error}")
        return None
    return LearnedPerceptualDistance(load_lpips("alex", weights)).image_score


def examine_all(arguments: argparse.Namespace) -> list[dict]:
    """Score every clip that is not scored yet, and return one row for each clip."""
    store = TrackStore(arguments.store)
    model, perceptual = load_face_model(store.face_model), open_perceptual(arguments.lpips)
    refiner = None if arguments.refiner is None else open_refiner(arguments.refiner)
    settings = {
        "store": store.fingerprint(),
        "frames": arguments.frames,
        "lpips": perceptual is not None,
        "refiner": None if arguments.refiner is None else str(arguments.refiner),
        "openings": [list(limits) for limits in (CLOSED, *BINS)],
        "tracking": "settled, real frames in two crops",
        "flicker": TRIPLES,
        "lips": "calibrated",
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
            pictures = arguments.output / "pictures"
            try:
                row |= examine(store.read(clip.clip_id), model, arguments.frames, perceptual, pictures, refiner)
            except ExpnetError as error:
                row["reason"] = str(error)
            write_atomically(file, json.dumps(row, indent=1))
        rows.append(json.loads(file.read_text(encoding="utf-8")))
        if rows[-1]["settings"] != settings:
            raise InputError(
                f"{file} was made with another store, --frames, --refiner or --lpips, or by another version; "
                "give another --output."
            )
        print(describe(rows[-1]), flush=True)
    sheets = [arguments.output / "pictures" / f"{row['clip']}{SHEET}" for row in rows]
    stack_sheets(sheets, arguments.output / "inner_mouth.png")
    return rows


def describe(row: dict) -> str:
    """One line about a clip with our scores."""
    if "reason" in row:
        return f"{row['clip'][:32]:32s} left out: {row['reason']}"
    ours = row["systems"].get(REFINED, row["systems"][OURS])
    return f"{row['clip'][:32]:32s} " + " ".join(f"{ours.get(key, np.nan):7.3f}" for key in COLUMNS)


def table(rows: list[dict]) -> str:
    """Markdown table of means with intervals over speakers, paired differences, and the clips below the target."""
    scored = [row for row in rows if "systems" in row]
    if not scored:
        raise InputError("no clip could be scored; see the reasons above.")
    people = [row["speaker"] for row in scored]
    keys = [key for key in COLUMNS if key in scored[0]["systems"][OURS]]

    def column(system: str, key: str) -> list[float]:
        return [row["systems"][system][key] for row in scored]

    table_rows = []
    best = REFINED if REFINED in scored[0]["systems"] else OURS
    for system in scored[0]["systems"]:
        has = scored[0]["systems"][system]
        cells = [text(bootstrap_interval(column(system, k), groups=people)) if k in has else "" for k in keys]
        table_rows.append([system, *cells])
    for system in (name for name in scored[0]["systems"] if name not in (best, REPEATED)):
        cells = [text(bootstrap_difference(column(best, k), column(system, k), groups=people)) for k in keys]
        table_rows.append([f"{best} - {system}", *cells])
    lines = [
        f"{len(scored)} clips of {len(set(people))} people; 95 % intervals over people.",
        "",
        markdown_table(["", *(COLUMNS[key] for key in keys)], table_rows),
    ]
    reached = dict(zip((row["clip"] for row in scored), column(best, "mouth_opening_correlation"), strict=True))
    below = [f"{clip} {value:.3f}" for clip, value in sorted(reached.items(), key=lambda item: item[1]) if value < AIM]
    lines += ["", f"Mouth opening below {AIM}: {', '.join(below) or 'no clip'}.", "", _counts(scored)]
    lines += ["", "Opening of the mouth, tracked again, by the opening of the real one, means over people:", ""]
    lines += [opening_table(scored, [best, AFFINE, REPEATED])]
    lines += ["", f"Between the lips at equal openings, real / {best}, medians over people:", ""]
    lines += [inner_mouth_table(scored, best), "", flicker_line(scored, best), ""]
    lines += [f"{row['clip']} is left out: {row['reason']}" for row in rows if "reason" in row]
    return "\n".join(lines) + "\n"


def _counts(scored: list[dict]) -> str:
    """How many clips of each moving system follow the real opening in correlation and in slope."""
    counts = []
    for system in (name for name in scored[0]["systems"] if name != STILL):
        scores = [row["systems"][system] for row in scored]
        good = sum(one["mouth_opening_correlation"] >= AIM for one in scores)
        right = sum(SLOPES[0] <= one["mouth_opening_slope"] <= SLOPES[1] for one in scores)
        counts.append(f"{system} {good} and {right}")
    low, high = SLOPES
    return f"Of {len(scored)} clips, correlation of {AIM} or more and slope of {low} to {high}: {'; '.join(counts)}."


def text(interval: Interval) -> str:
    """A mean with its interval."""
    ends = "" if interval.low is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return f"{interval.mean:.3f}{ends}"
