"""How accurate are the models on unseen speakers? Cross-validation by speaker, with baselines.

Usage: python benchmarks/accuracy.py --scored STORE [--also STORE ...] [--folds 5] [--seeds 3] [--output DIR]
           [--systems NAME,...] [--features FOLDER ...] [--transcripts FILE.csv] [--languages FILE.csv]
           [KEY=VALUE ...] [--ours KEY=VALUE ...]

The speakers of --scored are divided into folds. Each fold is scored by models trained on all other speakers, and on the
clips of --also that are not of the fold's speakers. Speakers are identified by name, so the stores must use the same
names (expnet preprocess --speakers); a video with two speaker names is refused.

All trained systems use the same clips, windows, augmentation and steps. KEY=VALUE changes the training of all systems,
as for train.py; --ours, --small-convolution, --per-frame and --autoregressive change that of one system (files and
KEY=VALUE). Ours is initialised from the packaged network trained on synthetic speech, unless --ours init=null is given.
With --seeds N, each system is trained N times and a clip's score is the mean; an extra row averages the predictions of
our N networks.

--features names one folder of `expnet features` for each store, that of --scored first. It adds rows of systems that
read these features, two ridge regressions among them. What such a row is ahead of ridge_features is what the network
brings, and what it is ahead of the row without _features is what the features bring; tables of paired differences say
both. --ours-features KEY=VALUE changes the training of that row alone, and so on. ours_features starts from random
weights, unless --ours-features init=synthetic data.silent_share=0 is given; the packaged network on features has seen
the people. Folders with disturbed copies (`expnet features --copies`) are drawn from in training, and allow
--ours-features data.silent_share=0.1.

Lip closure is scored where phonemes are known: in stores of `expnet synthesize`, and in the clips of --transcripts, CSV
files with the columns clip, text and, unless it is en-us, language (benchmarks/transcripts.py writes one). Where the
clips are of several languages, according to the store or to --languages (columns clip and language, whatever groups
they name), the correlation is also given for each of them. --output keeps the predictions, so that an
interrupted command resumes and scores can be recomputed without training.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.evaluation.store.prediction import System
from expnet.face.morphable import builtin_face_model
from expnet.io.atomic import atomic_path
from shared.accuracy_systems import FITTED, TRAINED, comparisons, layers_of, make_system, reads_features, systems_for
from shared.accuracy_table import Row, as_json, tables
from shared.folds import FoldView, check_features, check_names, divide, fold_view, read_clip, read_split
from shared.left_out_networks import CONFIGS
from shared.motion_scoring import MotionScorer
from shared.transcripts import phonemes_of, read_languages, read_transcripts

ENSEMBLES = ("ours", "ours_features")
"""Networks whose predictions are also averaged over the seeds."""


def predict_once(file: Path, settings: dict[str, object], view: FoldView, make: Callable[[], System]) -> None:
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
    clips = read_split(view.stores[:1], "test", view.features[:1])
    predictions = {clip.clip_id: system.predict(clip).expression.contiguous() for clip in clips}
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as partial:
        save_file(predictions, partial, metadata={"settings": description})
    print(f"{file.parent.parent.name} {file.parent.name} {file.stem}: {time.perf_counter() - start:.0f} s", flush=True)


def predict_all(arguments: argparse.Namespace, output: Path) -> dict[str, list[dict[str, Tensor]]]:
    """Run every system on every fold with every seed; returns each system's predictions, by seed and clip."""
    stores = [arguments.scored, *arguments.also]
    fingerprints = [TrackStore(store).fingerprint() for store in stores]
    features = check_features(stores, arguments.features)
    folds = divide({row.speaker for row in TrackStore(arguments.scored).rows}, arguments.folds)
    found: dict[str, list[dict[str, Tensor]]] = {name: [] for name in arguments.systems}
    with tempfile.TemporaryDirectory() as work:
        run = Path(work, "run")
        views = [
            FoldView(
                people,
                [fold_view(one, Path(work, f"{fold}-{n}"), people, arguments.exclude) for n, one in enumerate(stores)],
                arguments.features,
            )
            for fold, people in enumerate(folds)
        ]
        for seed, name in itertools.product(range(arguments.seeds), arguments.systems):
            if name in FITTED and seed:
                continue
            own = getattr(arguments, name, [])
            layers = layers_of(name, seed, arguments.steps, arguments.overrides, own) if name in TRAINED else []
            predictions: dict[str, Tensor] = {}
            for fold, view in enumerate(views):
                file = output / "predictions" / f"seed{seed}" / f"fold{fold}" / f"{name}.safetensors"
                settings: dict[str, object] = {
                    "stores": fingerprints,
                    "people": sorted(view.people),
                    "excluded": sorted(arguments.exclude),
                    "layers": [layer.removeprefix(f"{CONFIGS}/") for layer in layers],
                }
                if reads_features(name):
                    settings["features"] = features
                predict_once(file, settings, view, partial(make_system, name, view, layers, run))
                predictions |= load_file(file)
            found[name].append(predictions)
    return found


def score_all(arguments: argparse.Namespace, found: dict[str, list[dict[str, Tensor]]]) -> dict[str, Row]:
    """Score every prediction, and the real clips themselves, in the order of the systems."""
    for name in [name for name in ENSEMBLES if name in found and arguments.seeds > 1]:
        mean = {clip: torch.stack([one[clip] for one in found[name]]).mean(0) for clip in found[name][0]}
        found = {**found, f"{name}_ensemble": [mean]}
    scorer, transcripts = MotionScorer(builtin_face_model()), read_transcripts(arguments.transcripts)
    languages = read_languages(arguments.languages)
    rows = {name: Row() for name in [*found, "real"]}
    store = TrackStore(arguments.scored)
    for clip_row in store.rows:
        clip = read_clip(store, clip_row)
        phonemes = phonemes_of(clip, transcripts)
        for name, row in rows.items():
            predictions = [clip.expression] if name == "real" else [seed[clip.clip_id] for seed in found[name]]
            row.clips.append(clip.clip_id)
            row.speakers.append(clip_row.speaker)
            row.languages.append(languages.get(clip.clip_id, clip_row.language))
            row.scores.append([scorer.score(clip, prediction, phonemes) for prediction in predictions])
    return rows


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scored", type=Path, required=True, help="Store whose speakers are scored, each once.")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="Further stores, used for training only.")
    help_ = "Folder of speech features of each store, in their order."
    parser.add_argument("--features", type=Path, nargs="*", default=[], metavar="FOLDER", help=help_)
    parser.add_argument("--exclude", nargs="*", default=[], metavar="SPEAKER", help="Speakers to leave out of --also.")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1, help="Number of trainings of each network.")
    parser.add_argument("--steps", type=int, default=350, help="Training steps, unless a system's own options differ.")
    parser.add_argument(
        "--systems", help="Rows, separated by commas; without it all, those on features with --features."
    )
    for name, columns in (("transcripts", "clip and text"), ("languages", "clip and language")):
        help_ = f"CSV file with the columns {columns}; may be given several times."
        parser.add_argument(f"--{name}", type=Path, action="append", default=[], metavar="FILE.csv", help=help_)
    parser.add_argument("--output", type=Path, help="Folder for predictions, table.md and accuracy.json.")
    for name, layers in TRAINED.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, nargs="*", default=layers, metavar="KEY=VALUE", help=f"Training of {name} only.")
    arguments, arguments.overrides = parser.parse_known_args(argv)
    known = systems_for(features=bool(arguments.features))
    arguments.systems = arguments.systems.split(",") if arguments.systems else known
    deaf = [name for name in arguments.systems if name in (*FITTED, *TRAINED) and name not in known]
    if deaf:
        parser.error(f"{', '.join(deaf)} read speech features: give the folders of 'expnet features' with --features")
    wrong = [name for name in arguments.systems if name not in known]
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
    pairs = comparisons(list(rows))
    text = tables(rows, pairs)
    print(text)
    if arguments.output:
        (arguments.output / "table.md").write_text(text, encoding="utf-8")
        (arguments.output / "accuracy.json").write_text(json.dumps(as_json(rows, pairs), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
