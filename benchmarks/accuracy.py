"""How accurate are the models on unseen speakers? Cross-validation by speaker, with baselines.

Usage: python benchmarks/accuracy.py --scored STORE [--also STORE ...] [--folds 5] [--seeds 3] [--output DIR]
           [--systems NAME,...] [--transcripts FILE.csv] [KEY=VALUE ...] [--ours KEY=VALUE ...]

The speakers of --scored are divided into folds. Each fold is scored by models trained on all other speakers, and on the
clips of --also that are not of the fold's speakers. Speakers are identified by name, so the stores must use the same
names (expnet preprocess --speakers); a video with two speaker names is refused.

All trained systems use the same clips, windows, augmentation and steps. KEY=VALUE changes the training of all systems,
as for train.py; --ours, --small-convolution, --per-frame and --autoregressive change that of one system (files and
KEY=VALUE). Ours is initialised from the packaged network trained on synthetic speech, unless --ours init=null is given.
With --seeds N, each system is trained N times and a clip's score is the mean; an extra row averages the predictions of
our N networks.

Lip closure is scored where phonemes are known: in stores of `expnet synthesize`, and in the clips of --transcripts, a
CSV file with the columns clip, text and, unless it is en-us, language. --output keeps the predictions, so that an
interrupted command resumes and scores can be recomputed without training.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from expnet.audio.speech_synthesis import Phoneme
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.prediction import System
from expnet.evaluation.store.ridge import fit_ridge
from expnet.evaluation.store.systems import Ridge
from expnet.evaluation.store.trivial_systems import ClipMean, HoldFirstFrame
from expnet.face.morphable import builtin_face_model
from expnet.io.atomic import atomic_path
from shared.accuracy_table import Row, as_json, tables
from shared.folds import check_names, divide, fold_view, read_clip, read_split
from shared.forced_alignment import align_text
from shared.left_out_networks import CONFIGS, train_network
from shared.log_energy_jaw import fit_log_energy_jaw
from shared.motion_scoring import MotionScorer

FITTED = ("hold_first_frame", "clip_mean", "log_energy_jaw", "ridge")
"""Systems without randomness, which are the same for every seed."""
TRAINED: dict[str, list[str]] = {
    "small_convolution": [],
    # The window network reads each part of the audio five times: 256 frames a step are what it can afford.
    "per_frame": ["trainer.max_steps=150", "data.batch_size=4"],
    "autoregressive": [],
    "ours": ["init=synthetic"],
}
"""Systems that are trained, with the configuration in which they differ."""


def fit(name: str, stores: Sequence[Path]) -> System:
    """Fit one of `FITTED` on a fold's training speakers."""
    face = builtin_face_model()
    if name == "hold_first_frame":
        return HoldFirstFrame()
    if name == "clip_mean":
        return ClipMean()
    if name == "log_energy_jaw":
        return fit_log_energy_jaw(read_split(stores, "train"), face)
    sides = ([(c.mel, c.expression, c.valid) for c in read_split(stores, split)] for split in ("train", "validation"))
    return Ridge(fit_ridge(*sides, metric=face.expression_metric))


def layers_of(name: str, seed: int, arguments: argparse.Namespace) -> list[str]:
    """Configuration layers of a trained system; later ones override earlier ones."""
    config = CONFIGS / ("expression.yaml" if name == "ours" else f"{name}.yaml")
    shared = [f"seed={seed}", f"trainer.max_steps={arguments.steps}", "trainer.validate_every=1000000"]
    return [str(config), *shared, *arguments.overrides, *getattr(arguments, name)]


def predict_once(file: Path, settings: dict[str, object], scored: Path, make: Callable[[], System]) -> None:
    """Write a system's predictions for a fold's speakers, unless they exist.

    Raises:
        InputError: The existing predictions were made with other settings.
    """
    description = json.dumps(settings, sort_keys=True)
    if file.is_file():
        with safe_open(file, framework="pt") as opened:
            if (opened.metadata() or {}).get("settings") != description:
                raise InputError(f"{file} was made with other stores, people or options; give another --output.")
        return
    start = time.perf_counter()
    system = make()
    predictions = {clip.clip_id: system.predict(clip).expression.contiguous() for clip in read_split([scored], "test")}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as partial:
        save_file(predictions, partial, metadata={"settings": description})
    print(f"{file.parent.parent.name} {file.parent.name} {file.stem}: {time.perf_counter() - start:.0f} s", flush=True)


def predict_all(arguments: argparse.Namespace, output: Path) -> dict[str, list[dict[str, Tensor]]]:
    """Run every system on every fold with every seed; returns each system's predictions, by seed and clip."""
    stores = [arguments.scored, *arguments.also]
    fingerprints = [TrackStore(store).fingerprint() for store in stores]
    folds = divide({row.speaker for row in TrackStore(arguments.scored).rows}, arguments.folds)
    found: dict[str, list[dict[str, Tensor]]] = {name: [] for name in arguments.systems}
    with tempfile.TemporaryDirectory() as work:
        views = [
            [fold_view(s, Path(work, f"{fold}-{place}"), people, arguments.exclude) for place, s in enumerate(stores)]
            for fold, people in enumerate(folds)
        ]
        for seed in range(arguments.seeds):
            for name in arguments.systems:
                if name in FITTED and seed:
                    continue
                layers = layers_of(name, seed, arguments) if name in TRAINED else []
                predictions: dict[str, Tensor] = {}
                for fold, people in enumerate(folds):
                    file = output / "predictions" / f"seed{seed}" / f"fold{fold}" / f"{name}.safetensors"
                    settings = {
                        "stores": fingerprints,
                        "people": sorted(people),
                        "excluded": sorted(arguments.exclude),
                        "layers": [layer.removeprefix(f"{CONFIGS}/") for layer in layers],
                    }
                    run = Path(work, "run")
                    view = views[fold]
                    make = (
                        (lambda: train_network(name, view, layers, run)) if name in TRAINED else lambda: fit(name, view)  # noqa: B023 (called at once)
                    )
                    predict_once(file, settings, view[0], make)
                    predictions |= load_file(file)
                found[name].append(predictions)
    return found


def read_transcripts(file: Path | None) -> dict[str, tuple[str, str]]:
    """Read the text and language of each clip from a CSV file with the columns clip, text and optionally language."""
    if file is None:
        return {}
    with open(file, newline="", encoding="utf-8") as opened:
        return {row["clip"]: (row["text"], row.get("language") or "en-us") for row in csv.DictReader(opened)}


def phonemes_of(clip: Clip, transcripts: dict[str, tuple[str, str]]) -> tuple[Phoneme, ...]:
    """Phonemes of a clip: those in its store, or those of its transcript aligned with the audio."""
    if clip.track.phonemes or clip.clip_id not in transcripts:
        return clip.track.phonemes
    text, language = transcripts[clip.clip_id]
    return align_text(clip.track.audio, text, language=language)


def score_all(arguments: argparse.Namespace, found: dict[str, list[dict[str, Tensor]]]) -> dict[str, Row]:
    """Score every prediction, and the real clips themselves, in the order of the systems."""
    if arguments.seeds > 1 and "ours" in found:
        mean = {clip: torch.stack([one[clip] for one in found["ours"]]).mean(0) for clip in found["ours"][0]}
        found = {**found, "ours_ensemble": [mean]}
    scorer, transcripts = MotionScorer(builtin_face_model()), read_transcripts(arguments.transcripts)
    rows = {name: Row() for name in [*found, "real"]}
    store = TrackStore(arguments.scored)
    for clip_row in store.rows:
        clip = read_clip(store, clip_row)
        phonemes = phonemes_of(clip, transcripts)
        for name, row in rows.items():
            predictions = [clip.expression] if name == "real" else [seed[clip.clip_id] for seed in found[name]]
            row.clips.append(clip.clip_id)
            row.speakers.append(clip_row.speaker)
            row.scores.append([scorer.score(clip, prediction, phonemes) for prediction in predictions])
    return rows


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scored", type=Path, required=True, help="Store whose speakers are scored, each once.")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="Further stores, used for training only.")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="SPEAKER", help="Speakers to leave out of --also.")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1, help="Number of trainings of each network.")
    parser.add_argument("--steps", type=int, default=350, help="Training steps, unless a system's own options differ.")
    parser.add_argument("--systems", default=",".join([*FITTED, *TRAINED]), help="Rows, separated by commas.")
    parser.add_argument("--transcripts", type=Path, help="CSV file with the columns clip and text.")
    parser.add_argument("--output", type=Path, help="Folder for predictions, table.md and accuracy.json.")
    for name, layers in TRAINED.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, nargs="*", default=layers, metavar="KEY=VALUE", help=f"Training of {name} only.")
    arguments, arguments.overrides = parser.parse_known_args(argv)
    arguments.systems = arguments.systems.split(",")
    wrong = [name for name in arguments.systems if name not in (*FITTED, *TRAINED)]
    wrong += [text for text in arguments.overrides if "=" not in text or text.startswith("-")]
    if wrong or arguments.seeds < 1:
        parser.error(f"these are neither systems nor options: {', '.join(wrong) or '--seeds below 1'}")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run the folds and print the tables."""
    arguments = parse(argv)
    check_names([arguments.scored, *arguments.also])
    with tempfile.TemporaryDirectory() as scratch:
        rows = score_all(arguments, predict_all(arguments, arguments.output or Path(scratch)))
    text = tables(rows)
    print(text)
    if arguments.output:
        (arguments.output / "table.md").write_text(text, encoding="utf-8")
        (arguments.output / "accuracy.json").write_text(json.dumps(as_json(rows), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
