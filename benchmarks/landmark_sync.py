"""How good is the sync expert on tracked lips for unseen speakers: as an estimator, as a judge, and as a loss?

    python benchmarks/landmark_sync.py --scored STORE [--also STORE ...] [--exclude NAME ...] --start RUN
        --output DIR [--folds 2] [--steps 150] [--loss-weights 0 0.1] [KEY=VALUE ...]

The speakers of --scored are divided into folds. A fold's expert is initialised from --start (an expert trained on
synthetic speech: train.py configs/landmark_sync.yaml data.store=SYNTHETIC) and trained on all other speakers. Trainings
that are finished in --output are not repeated.

- By length: clips of the left-out speakers are cut into pieces whose audio is shifted by a known number of frames, and
  the offset is estimated, as well as with `expnet.data.preprocess.sync_offset`. The planted offset is taken as the
  truth, so a clip that is out of sync itself counts against both.
- AUC: how often the similarity at lag 0 is higher for a piece in sync than for a piece shifted by 3 to 7 frames.
- --loss-weights: expression networks are trained with the fold's expert as a loss term at each weight, and scored on
  the same speakers; KEY=VALUE changes that training. Differences to the first weight are paired by clip.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from expnet.audio.alignment import FRAME_RATE, mel_for_frames
from expnet.config import load_config
from expnet.data.preprocess.sync_offset import LONGEST_OFFSET, estimate_offset
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.face.morphable import builtin_face_model
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.models.landmark_sync import MAX_LAG, LandmarkSync
from expnet.models.saved_model import load_model
from expnet.training.main import train
from shared.folds import divide, fold_view, read_split
from shared.left_out_networks import CONFIGS, train_network
from shared.motion_scoring import MotionScorer
from shared.planted_offsets import shifted_pieces

SECONDS = (2, 3, 5, 8)
JUDGED_SECONDS = 2
LEAST_SHIFT = 3
KEYS = ("mouth_opening_correlation", "within_clip_r2")
Rows = dict[tuple[str, int], list[tuple[str, bool]]]


def expert_curve(expert: LandmarkSync, track: Track) -> torch.Tensor:
    """Similarities of a clip by lag, (31,)."""
    face = builtin_face_model()
    identity = torch.as_tensor(track.coefficients.identity).expand(track.frames, -1)
    landmarks = face.landmarks(identity, torch.from_numpy(track.coefficients.expression))
    mel = mel_for_frames(track.audio, 0, track.frames)
    with torch.inference_mode():
        return expert(landmarks[None], mel[None], torch.from_numpy(track.valid)[None])[0]


def estimators(expert: LandmarkSync) -> dict[str, Callable[[Track], int]]:
    """The two estimators of an offset, over the same range of lags."""
    lags = slice(MAX_LAG - LONGEST_OFFSET, MAX_LAG + LONGEST_OFFSET + 1)

    def by_expert(track: Track) -> int:
        return int(expert_curve(expert, track)[lags].argmax()) - LONGEST_OFFSET

    return {"predicted mouth": lambda track: estimate_offset(track).frames, "sync expert": by_expert}


def find_offsets(expert: LandmarkSync, tracks: list[Track], found: Rows) -> None:
    """Record for each estimator and length the speaker of each piece, and whether its offset was found to one frame."""
    generator = np.random.default_rng(0)
    for track in tracks:
        for seconds in SECONDS:
            for piece, planted in shifted_pieces(track, seconds * FRAME_RATE, generator):
                for name, estimate in estimators(expert).items():
                    found[name, seconds].append((track.speaker, abs(estimate(piece) - planted) <= 1))


def judge(expert: LandmarkSync, tracks: list[Track], judged: dict[str, list[list[float]]]) -> None:
    """Record the similarities at lag 0 of pieces in sync and of shifted pieces, by speaker."""
    generator = np.random.default_rng(1)
    for track in tracks:
        for piece, planted in shifted_pieces(track, JUDGED_SECONDS * FRAME_RATE, generator):
            curve = expert_curve(expert, piece)
            # In a piece whose audio is early by p frames, lag p is in sync and lag 0 is not.
            if abs(planted) >= LEAST_SHIFT:
                in_sync, shifted = judged.setdefault(track.speaker, [[], []])
                in_sync.append(float(curve[MAX_LAG + planted]))
                shifted.append(float(curve[MAX_LAG]))


def area_under_curve(positive: list[float], negative: list[float]) -> float:
    """Probability that a positive exceeds a negative; ties count half."""
    one, two = np.array(positive)[:, None], np.array(negative)[None]
    return float(np.mean((one > two) + 0.5 * (one == two)))


def trained_expert(stores: list[Path], run: Path, arguments: argparse.Namespace) -> LandmarkSync:
    """Train a fold's expert, or load it if it exists."""
    if not (run / "model.safetensors").is_file():
        options = [f"data.store=[{','.join(map(str, stores))}]", f"init={arguments.start}", f"output={run}"]
        steps = [f"trainer.max_steps={arguments.steps}", f"trainer.validate_every={arguments.steps}"]
        train(load_config([str(CONFIGS / "landmark_sync.yaml"), *options, *steps, *arguments.expert_overrides]))
    expert = load_model(run, "landmark_sync")
    assert isinstance(expert, LandmarkSync)
    return expert


def loss_rows(weight: float, expert: Path, stores: list[Path], run: Path, overrides: list[str]) -> list[dict]:
    """Scores by clip of an expression network trained with the expert as a loss term at the given weight."""
    kept = run / "scores.json"
    if not kept.is_file():
        term = [f"loss.sync_weight={weight}", f"loss.sync_expert={expert}"] if weight else []
        recipe = [str(CONFIGS / "expression.yaml"), "trainer.max_steps=350", "trainer.validate_every=1000000"]
        system = train_network("ours", stores, [*recipe, "init=synthetic", *term, *overrides], run)
        scorer, rows = MotionScorer(builtin_face_model()), []
        for clip in read_split(stores[:1], "test"):
            scores = scorer.score(clip, system.predict(clip).expression)
            weight_of = scores.weights.get("within_clip_r2", 1.0)
            rows.append(
                {"speaker": clip.track.speaker, "weight": weight_of, **{key: scores.values[key] for key in KEYS}}
            )
        kept.write_text(json.dumps(rows))
    return json.loads(kept.read_text())


def report_offsets(found: Rows, judged: dict[str, list[list[float]]]) -> None:
    """Print the shares of offsets found, and the AUC."""
    print("\noffset found to one frame, 95 % intervals over people (pieces)")
    for (name, seconds), rows in sorted(found.items()):
        interval = bootstrap_interval([right for _, right in rows], groups=[speaker for speaker, _ in rows])
        print(f"{name:16s} {seconds} s: {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}] ({len(rows)})")
    people = sorted(judged)
    areas = [area_under_curve(*judged[speaker]) for speaker in people]
    interval = bootstrap_interval(areas, groups=people)
    print(f"AUC within a person, {JUDGED_SECONDS} s: {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")


def report_losses(scored: dict[float, list[dict]]) -> None:
    """Print the scores of each weight, and the difference to the first."""
    first = next(iter(scored.values()))
    lines = []
    for weight, rows in scored.items():
        cells = []
        for key, weights in zip(KEYS, (None, [row["weight"] for row in rows]), strict=True):
            groups = [row["speaker"] for row in rows]
            values = [row[key] for row in rows]
            differences = [row[key] - other[key] for row, other in zip(rows, first, strict=True)]
            for series in (values, differences):
                interval = bootstrap_interval(series, weights=weights, groups=groups)
                cells.append(f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
        lines.append([weight, *cells])
    header = ("sync weight", "mouth-opening correlation", "difference", "within-clip R2", "difference")
    print(f"\n{markdown_table(header, lines)}")


def main() -> None:
    """Train and score the folds, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scored", type=Path, required=True, help="Store whose speakers are scored, each once.")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="Further stores, used for training only.")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="SPEAKER", help="Speakers to leave out entirely.")
    parser.add_argument("--start", required=True, help="Expert trained on synthetic speech only.")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150, help="Training steps of each fold's expert (%(default)s).")
    parser.add_argument("--expert-overrides", nargs="*", default=[], metavar="KEY=VALUE", help="Training of experts.")
    parser.add_argument("--loss-weights", type=float, nargs="*", default=[], help="Weights of the expert as a loss.")
    parser.add_argument("--output", type=Path, required=True, help="Folder of the trainings.")
    arguments, overrides = parser.parse_known_args()
    torch.set_num_threads(1)
    found: Rows = defaultdict(list)
    judged: dict[str, list[list[float]]] = {}
    scored: dict[float, list[dict]] = {weight: [] for weight in arguments.loss_weights}
    people_of = divide({row.speaker for row in TrackStore(arguments.scored).rows}, arguments.folds)
    for fold, people in enumerate(people_of):
        folder = arguments.output / f"fold{fold}"
        views = [folder / f"store{place}" for place in range(1 + len(arguments.also))]
        if not folder.is_dir():
            for store, view in zip([arguments.scored, *arguments.also], views, strict=True):
                fold_view(store, view, people, arguments.exclude)
        expert = trained_expert(views, folder / "expert", arguments)
        tracks = [clip.track for clip in read_split(views[:1], "test")]
        find_offsets(expert, tracks, found)
        judge(expert, tracks, judged)
        print(f"fold {fold}: {len(people)} people", flush=True)
        report_offsets(found, judged)
        for weight, rows in scored.items():
            rows += loss_rows(weight, folder / "expert", views, folder / f"loss{weight}", overrides)
        if scored:
            report_losses(scored)


if __name__ == "__main__":
    main()
