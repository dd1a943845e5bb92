"""How well do the models do on people they have never seen? K folds by person, beside the trivial baselines.

Usage: python benchmarks/accuracy.py --scored STORE [--also STORE ...] [--folds 5] [--output DIR] [KEY=VALUE ...]

The clips of --scored are divided by speaker into folds; a fold's people are scored by models that were trained on
everybody else, and on the clips of --also that are not of those people. Speakers are told apart by name, so the stores
must name them alike (expnet preprocess --speakers). KEY=VALUE changes the training, as for train.py. Intervals draw
people. Models start from the network in the package that has only heard made speech (init=synthetic), unless told
otherwise with init=null.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from expnet.audio.alignment import mel_for_frames
from expnet.config import load_config
from expnet.data.manifest import read_manifest, write_manifest
from expnet.data.store import TrackStore
from expnet.data.tracks import Track
from expnet.evaluation.ridge import fit_ridge
from expnet.face.morphable import builtin_face_model
from expnet.metrics import MouthOpeningCorrelation, WithinClipR2
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.models.bundle import load_model
from expnet.training import train

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
VALIDATION_SHARE = 10  # one training speaker in so many is validated on
Predictor = Callable[[Tensor, Tensor, int], Tensor]


def bucket(name: str, count: int) -> int:
    """A number below count that depends on the name alone."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % count


def fold_view(store: Path, folder: Path, tested: set[str]) -> Path:
    """Make a store that shares the shards of another, with the given people as its test split."""
    rows, shards = read_manifest(store)
    folder.mkdir(parents=True)
    (folder / "shards").symlink_to((store / "shards").resolve())
    split = {True: "test", False: "train"}
    divided = [
        dataclasses.replace(row, split="validation")
        if row.speaker not in tested and bucket(row.speaker, VALIDATION_SHARE) == 0
        else dataclasses.replace(row, split=split[row.speaker in tested])
        for row in rows
    ]
    write_manifest(folder, divided, shards)
    return folder


def examples(stores: list[Path], split: str) -> Iterator[Track]:
    """The whole clips of one side of the split."""
    for store in stores:
        opened = TrackStore(store)
        yield from (opened.read(row.clip_id) for row in opened.rows if row.split == split)


def ridge_examples(stores: list[Path], split: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Mel, expression and valid frames, as `fit_ridge` wants them."""
    for track in examples(stores, split):
        frames = track.coefficients.frames
        yield (
            mel_for_frames(track.audio, 0, frames),
            torch.from_numpy(track.coefficients.expression),
            torch.from_numpy(track.valid),
        )


def network(config: str, stores: list[Path], output: Path, overrides: list[str]) -> Predictor:
    """Train a network and return what it predicts for mel (80, N), first expression (64,) and frames."""
    listed = f"[{','.join(map(str, stores))}]"
    train(load_config([str(CONFIGS / config), f"data.store={listed}", f"output={output}", *overrides]))
    model = load_model(output, "expression")

    @torch.inference_mode()
    def predict(mel: Tensor, first: Tensor, frames: int) -> Tensor:
        return model(mel[None], frames, first[None])[0]

    return predict


def score(predict: Predictor, store: Path) -> list[dict[str, object]]:
    """Score a fold's people, a row a clip."""
    face = builtin_face_model()
    r2, correlation = WithinClipR2(metric=face.expression_metric), MouthOpeningCorrelation()
    rows = []
    for track in examples([store], "test"):
        frames = track.coefficients.frames
        target = torch.from_numpy(track.coefficients.expression)
        identity = torch.as_tensor(track.coefficients.identity).expand(frames, -1)
        valid = torch.from_numpy(track.valid)[None]
        predicted = predict(mel_for_frames(track.audio, 0, frames), target[0], frames)
        mouths = [face.landmarks(identity, expression)[None] for expression in (predicted, target)]
        explained, weight = r2.score(predicted[None], target[None], valid=valid)
        rows.append(
            {
                "clip": track.clip_id,
                "speaker": track.speaker,
                "mouth_opening_correlation": float(correlation.score(*mouths, valid=valid)[0]),
                "within_clip_r2": float(explained),
                "weight": float(weight),
            }
        )
    return rows


def run_fold(number: int, people: set[str], arguments: argparse.Namespace, work: Path) -> dict[str, list[dict]]:
    """Train and score everything on one fold."""
    stores = [
        fold_view(store, work / f"fold{number}" / f"store{place}", people)
        for place, store in enumerate([arguments.scored, *arguments.also])
    ]
    metric = builtin_face_model().expression_metric
    ridge = fit_ridge(ridge_examples(stores, "train"), ridge_examples(stores, "validation"), metric=metric)
    runs = work / f"fold{number}"
    quiet = ["trainer.validate_every=1000000", *arguments.overrides]
    # The window network reads each sound five times over: 256 frames a step are what it can afford.
    per_frame = [f"trainer.max_steps={arguments.per_frame_steps}", "data.batch_size=4", *quiet]
    ours = [f"trainer.max_steps={arguments.steps}", "init=synthetic", *quiet]
    systems: dict[str, Predictor] = {
        "hold_first_frame": lambda mel, first, frames: first.expand(frames, -1),
        "ridge": ridge.predict,
        "per_frame": network("per_frame.yaml", stores, runs / "per_frame", per_frame),
        "ours": network("expression.yaml", stores, runs / "ours", ours),
    }
    return {name: score(predict, stores[0]) for name, predict in systems.items()}


def table(rows: dict[str, list[dict]]) -> str:
    """The table, with 95 % intervals over people."""
    lines = [
        "| system | mouth-opening correlation | within-clip R2 | clips | people |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, clips in rows.items():
        groups = [str(row["speaker"]) for row in clips]
        cells = []
        for key, weights in (("mouth_opening_correlation", None), ("within_clip_r2", [r["weight"] for r in clips])):
            interval = bootstrap_interval([row[key] for row in clips], weights=weights, groups=groups)
            cells.append(f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
        lines.append(f"| {name} | {' | '.join(cells)} | {len(clips)} | {len(set(groups))} |")
    return "\n".join(lines)


def main() -> None:
    """Run the folds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scored", type=Path, required=True, help="store whose people are scored, each once")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="stores that are only trained on")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=350, help="of the expression network")
    parser.add_argument("--per-frame-steps", type=int, default=150, help="of SadTalker's per-frame head")
    parser.add_argument("--output", type=Path, help="folder for the rows as JSON")
    arguments, arguments.overrides = parser.parse_known_args()
    speakers = sorted({row.speaker for row in TrackStore(arguments.scored).rows})
    rows: dict[str, list[dict]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as work:
        for number in range(arguments.folds):
            people = {name for name in speakers if bucket(name, arguments.folds) == number}
            start = time.perf_counter()
            for name, scored in run_fold(number, people, arguments, Path(work)).items():
                rows[name] += scored
            print(f"fold {number}: {len(people)} people, {time.perf_counter() - start:.0f} s", flush=True)
            print(table(rows), flush=True)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "accuracy.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
