"""What does fine-tuning on 1 to 3 minutes of one person gain on other speech of that person?

Usage: python benchmarks/finetune.py --store STORE [STORE ...] --person NAME [NAME ...] --work DIR
       [--minutes 1 2 3] [--skip CLIP ...] [--exclude NAME ...] [--base-steps 350] [KEY=VALUE ...]

A base network (configs/expression.yaml from init=synthetic, kept in --work) is trained on everybody except the given
people, under all of their names (--exclude). A person's clips are ordered by time and divided into a beginning, which
configs/finetune.yaml trains on, and an end, which is scored in pieces of 3 s. The end is the same for every length of
the beginning. Clips that repeat others must be left out with --skip, since the end would otherwise be trained on.
KEY=VALUE changes the fine-tuning, as for train.py. Intervals are over the pieces of one person: they describe further
speech of this person, not other people.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from expnet.config import load_config
from expnet.config.evaluate import ProtocolConfig
from expnet.data.store.manifest import ManifestRow, read_manifest, write_manifest
from expnet.data.store.track_store import TrackStore
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import Prediction
from expnet.evaluation.store.scoring import Scorer
from expnet.face.morphable import builtin_face_model
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import load_model
from expnet.training.main import train
from shared.left_out_networks import CONFIGS

PIECE = 75
"""Frames of a scored piece, 3 s, the length of a GRID sentence."""
FRAMES_PER_MINUTE = 1500
SCORED_SHARE, LONGEST_SCORED = 0.25, 2 * FRAMES_PER_MINUTE
"""The scored end of a person's speech: a quarter of it, at most two minutes."""
COLUMNS = ("mouth_opening_correlation", "within_clip_r2", "landmark_distance_mouth", "landmark_distance")


def view(store: Path, folder: Path, rows: Sequence[ManifestRow]) -> Path:
    """Make a store of some rows of another, or of parts of its clips, that shares its shards."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "shards"
    if not link.is_symlink():
        link.symlink_to((store / "shards").resolve())
    write_manifest(folder, rows, read_manifest(store)[1])
    return folder


def part(row: ManifestRow, begin: int, frames: int) -> ManifestRow:
    """A part of a clip as a separate clip."""
    name = f"{row.clip_id}-{begin}" if frames < row.frames else row.clip_id
    start = row.source_start + begin / row.fps
    return dataclasses.replace(
        row, clip_id=name, first_frame=row.first_frame + begin, frames=frames, source_start=start
    )


def stretch(rows: Sequence[ManifestRow], begin: int, end: int) -> list[ManifestRow]:
    """Frames ``begin`` to ``end`` of clips that are joined end to end."""
    parts, place = [], 0
    for row in rows:
        first, last = max(begin - place, 0), min(end - place, row.frames)
        if last > first:
            parts.append(part(row, first, last - first))
        place += row.frames
    return parts


def pieces(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Cut clips into pieces of 3 s; remainders are not scored."""
    return [part(row, first, PIECE) for row in rows for first in range(0, row.frames - PIECE + 1, PIECE)]


def score(model: ExpressionRegressor, store: Path) -> dict[str, list[float]]:
    """Score a network on every clip of a store; returns values by metric."""
    scorer, opened = Scorer(builtin_face_model(), ProtocolConfig()), TrackStore(store)
    values: dict[str, list[float]] = {name: [] for name in (*COLUMNS, "weight")}
    for row in opened.rows:
        clip = Clip(opened.read(row.clip_id), row.eye_open, row.clip_id)
        with torch.inference_mode():
            expression = model(clip.mel[None], clip.frames, clip.expression[:1])[0]
        scores = scorer.score(clip, Prediction(expression))
        for name in COLUMNS:
            values[name].append(scores.values[name])
        values["weight"].append(scores.weights.get("within_clip_r2", 1.0))
    return values


def cells(values: dict[str, list[float]]) -> list[str]:
    """Means with 95 % intervals over pieces."""
    texts = []
    for name in COLUMNS:
        weights = values["weight"] if name == "within_clip_r2" else None
        interval = bootstrap_interval(values[name], weights=weights)
        texts.append(f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
    return texts


def train_base(arguments: argparse.Namespace) -> Path:
    """Train the base network on everybody else, unless that was done before."""
    run = Path(arguments.work) / "base"
    if not (run / "model.safetensors").is_file():
        others = []
        for place, store in enumerate(arguments.store):
            left_out = {*arguments.person, *arguments.exclude}
            rows = [row for row in TrackStore(store).rows if row.speaker not in left_out]
            if rows:
                others.append(str(view(store, arguments.work / f"others-{place}", rows)))
        layers = [f"data.store=[{','.join(others)}]", f"output={run}", f"trainer.max_steps={arguments.base_steps}"]
        fixed = ["init=synthetic", "data.test_fraction=0", "ckpt=last"]
        train(load_config([str(CONFIGS / "expression.yaml"), *layers, *fixed]))
    return run / "model.safetensors"


def divide(person: str, arguments: argparse.Namespace) -> tuple[Path, list[ManifestRow], int]:
    """The store with most of a person's speech, its rows in order, and the frame at which the scored end begins."""
    rows_of = {
        store: [row for row in TrackStore(store).rows if row.speaker == person and row.clip_id not in arguments.skip]
        for store in arguments.store
    }
    store = max(rows_of, key=lambda name: sum(row.frames for row in rows_of[name]))
    rows = sorted(rows_of[store], key=lambda row: (row.source, row.source_start))
    frames = sum(row.frames for row in rows)
    return store, rows, frames - min(int(SCORED_SHARE * frames), LONGEST_SCORED)


def run_person(person: str, base: Path, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Score the base network and the fine-tuned networks on a person's end."""
    store, rows, border = divide(person, arguments)
    work = arguments.work / person
    end = view(store, work / "end", pieces(stretch(rows, border, sum(row.frames for row in rows))))
    results: list[dict[str, object]] = [
        {"person": person, "network": "before", "seconds": 0.0, **score(load_model(base, "expression"), end)}
    ]
    for minutes in arguments.minutes:
        frames = int(minutes * FRAMES_PER_MINUTE)
        name = f"{min(frames, border) / FRAMES_PER_MINUTE:.1f} min"
        beginning = view(store, work / "beginning" / name, stretch(rows, max(border - frames, 0), border))
        run, start = work / arguments.label / name, time.perf_counter()
        layers = [f"data.store={beginning}", f"init={base}", f"output={run}", *arguments.overrides]
        train(load_config([str(CONFIGS / "finetune.yaml"), *layers]))
        seconds = time.perf_counter() - start
        scores = score(load_model(run, "expression"), end)
        results.append({"person": person, "network": name, "seconds": seconds, **scores})
        if frames >= border:
            break
    return results


def main() -> None:
    """Print a row for each person and length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, nargs="+", required=True)
    parser.add_argument("--person", nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True, help="Folder of the runs, including the base network.")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument("--skip", nargs="*", default=[], help="Names of clips that repeat others.")
    parser.add_argument("--exclude", nargs="*", default=[], help="Other names of these people, for the base network.")
    parser.add_argument("--base-steps", type=int, default=350)
    parser.add_argument("--label", default="finetuned", help="Folder of these fine-tunings; use one for each recipe.")
    arguments, arguments.overrides = parser.parse_known_args()
    base = train_base(arguments)
    results: list[dict[str, object]] = []
    header = ("person", "trained on", *COLUMNS, "pieces", "training, s")
    print(markdown_table(header, []))
    for person in arguments.person:
        for result in run_person(person, base, arguments):
            results.append(result)
            row = [result["person"], result["network"], *cells(result), len(result["weight"])]
            print(markdown_table(header, [[*row, f"{result['seconds']:.0f}"]]).splitlines()[-1], flush=True)
    (arguments.work / f"{arguments.label}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
