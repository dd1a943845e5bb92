"""What does each audio augmentation gain on unseen speakers, for clean, noisy and reverberant speech?

Usage: python benchmarks/audio_augmentation.py --scored STORE [--also STORE ...] [--exclude NAME ...]
       [--folds 2] [--variants default none rooms ...] --output DIR [KEY=VALUE ...]
       python benchmarks/audio_augmentation.py --scored STORE --cost

Every variant is trained on each fold's training speakers with the same steps and seed, from init=synthetic, and scored
on the left-out speakers in three conditions: as recorded, with pink noise at 5 dB, and with reverberation. Noise and
reverberation are the same for every variant. Differences to `default` are paired by clip; intervals are over speakers.
Trained networks and finished scores are kept in --output, so that an interrupted run resumes and variants can be added.
--cost prints the milliseconds of one core that each augmentation of a 64-frame window takes. KEY=VALUE changes every
training, as for train.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from expnet.audio.alignment import mel_for_frames
from expnet.audio.augmentation import (
    Samples,
    change_speed,
    mix,
    random_babble,
    random_codec,
    random_gain,
    random_noise,
    random_pitch,
    random_reverberation,
)
from expnet.config import load_config
from expnet.data.audio_augmentation import voices_of
from expnet.data.clip_entry import ClipEntry
from expnet.data.store.track_store import TrackStore
from expnet.face.morphable import builtin_face_model
from expnet.io.markdown import markdown_table
from expnet.metrics import MouthOpeningCorrelation, WithinClipR2
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.models.saved_model import load_model
from expnet.training.main import train
from shared.folds import bucket, divide, fold_view
from shared.left_out_networks import CONFIGS

QUIET_MEL = [f"augment.{name}=0" for name in ("time_masks", "band_masks", "gain", "tilt", "warp", "floor", "noise")]
QUIET_SOUND = ["data.gain_decibels=0", "data.noise_snr=null"]
VARIANTS: dict[str, list[str]] = {
    "default": [],
    "none": [*QUIET_MEL, *QUIET_SOUND],
    "spectrogram": QUIET_SOUND,
    "hidden": ["augment.time_masks=2", "augment.band_masks=2"],
    "sound": QUIET_MEL,
    "rooms": ["data.reverberation=0.3"],
    "babble": ["data.babble=0.3"],
    "codec": ["data.codec=0.3"],
    "pitch": ["data.pitch=0.3"],
    "speed": ["data.speed=0.1"],
    "all": ["data.reverberation=0.3", "data.babble=0.3", "data.codec=0.2", "data.pitch=0.3", "data.speed=0.1"],
}
METRICS = ("mouth_opening_correlation", "within_clip_r2")
Row = dict[str, object]


def noisy(samples: Samples, generator: np.random.Generator) -> Samples:
    """Add pink noise at 5 dB."""
    spectrum = np.fft.rfft(generator.standard_normal(len(samples)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    return mix(samples, np.fft.irfft(spectrum, len(samples)), 5.0)


CONDITIONS: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "clean": lambda samples, generator: samples,
    "noise": noisy,
    "room": random_reverberation(),
}


def score(model: ExpressionRegressor, store: Path) -> list[Row]:
    """Score a network on a fold's speakers, one row per clip and condition."""
    face = builtin_face_model()
    r2, correlation = WithinClipR2(metric=face.expression_metric), MouthOpeningCorrelation()
    rows: list[Row] = []
    opened = TrackStore(store)
    for row in (row for row in opened.rows if row.split == "test"):
        track = opened.read(row.clip_id)
        target, valid = torch.from_numpy(track.coefficients.expression), torch.from_numpy(track.valid)[None]
        identity = torch.as_tensor(track.coefficients.identity).expand(len(target), -1)
        for name, condition in CONDITIONS.items():
            samples = condition(track.audio, np.random.default_rng(bucket(track.clip_id, 2**32)))
            with torch.inference_mode():
                predicted = model(mel_for_frames(samples, 0, len(target))[None], len(target), target[:1])[0]
            mouths = [face.landmarks(identity, expression)[None] for expression in (predicted, target)]
            explained, weight = r2.score(predicted[None], target[None], valid=valid)
            rows.append(
                {
                    "clip": track.clip_id,
                    "speaker": track.speaker,
                    "condition": name,
                    "mouth_opening_correlation": float(correlation.score(*mouths, valid=valid)[0]),
                    "within_clip_r2": float(explained),
                    "weight": float(weight),
                }
            )
    return rows


def run(variant: str, fold: int, people: set[str], arguments: argparse.Namespace) -> list[Row]:
    """Train and score a variant on a fold, or read the results of an earlier run."""
    folder = arguments.output / f"fold{fold}"
    result = folder / f"{variant}.json"
    if not result.is_file():
        stores = [folder / f"store{place}" for place in range(1 + len(arguments.also))]
        for store, view in zip([arguments.scored, *arguments.also], stores, strict=True):
            if not view.exists():
                fold_view(store, view, people, arguments.exclude)
        layers = [f"data.store=[{','.join(map(str, stores))}]", f"output={folder / variant}", "init=synthetic"]
        layers += [f"trainer.max_steps={arguments.steps}", "trainer.validate_every=1000000", "ckpt=last"]
        train(load_config([str(CONFIGS / "expression.yaml"), *layers, *VARIANTS[variant], *arguments.overrides]))
        rows = score(load_model(folder / variant, "expression"), stores[0])
        result.write_text(json.dumps(rows))
    rows: list[Row] = json.loads(result.read_text())
    return rows


def cell(rows: list[Row], reference: list[Row], metric: str) -> str:
    """A variant's mean, and its difference to the reference with a 95 % interval over speakers."""
    groups = [str(row["speaker"]) for row in rows]
    weights = [float(str(row["weight"])) for row in rows] if metric == "within_clip_r2" else None
    values = np.array([float(str(row[metric])) for row in rows])
    mean = bootstrap_interval(values, weights=weights, groups=groups).mean
    if rows is reference:
        return f"{mean:.3f}"
    difference = values - np.array([float(str(row[metric])) for row in reference])
    interval = bootstrap_interval(difference, weights=weights, groups=groups)
    return f"{mean:.3f} ({interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}])"


def table(results: dict[str, list[Row]]) -> str:
    """Table with a row per variant; the first is the reference."""
    heads = [f"{condition} {metric}" for condition in CONDITIONS for metric in METRICS]
    lines = []
    reference = next(iter(results.values()))
    for variant, rows in results.items():
        cells = []
        for condition in CONDITIONS:
            sides = [[row for row in side if row["condition"] == condition] for side in (rows, reference)]
            sides = [sides[0], sides[0]] if rows is reference else sides
            cells += [cell(*sides, metric) for metric in METRICS]
        lines.append([variant, *cells])
    return markdown_table(["variant", *heads], lines)


def costs(store: TrackStore) -> str:
    """Table of the milliseconds of one core that each augmentation takes for a window of 64 frames with its context."""
    longest = max(store.rows, key=lambda row: row.frames)
    samples = store.read_audio(longest, 0, 78)
    voice = voices_of([ClipEntry(store, row) for row in store.rows])
    changes = {
        "gain": random_gain(6),
        "noise": random_noise(10),
        "babble": random_babble(voice, 5),
        "reverberation": random_reverberation(),
        "codec": random_codec(),
        "pitch": random_pitch(4),
        "speed": lambda samples, generator: change_speed(samples, generator.uniform(0.9, 1.1)),
        "mel (for comparison)": lambda samples, generator: mel_for_frames(samples, 7, 64),
    }
    rows = []
    for name, change in changes.items():
        times = []
        for seed in range(21):
            start = time.process_time()
            change(samples, np.random.default_rng(seed))
            times.append(time.process_time() - start)
        rows.append([name, f"{1e3 * float(np.median(times)):.1f}"])
    return markdown_table(["augmentation", "ms per window"], rows)


def main() -> None:
    """Print the table after each fold, or the costs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scored", type=Path, required=True)
    parser.add_argument("--also", type=Path, nargs="*", default=[])
    parser.add_argument("--exclude", nargs="*", default=[], metavar="SPEAKER", help="Speakers to leave out entirely.")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--cost", action="store_true", help="Print the cost of the augmentations and train nothing.")
    arguments, arguments.overrides = parser.parse_known_args()
    store = TrackStore(arguments.scored)
    if arguments.cost:
        print(costs(store))
        return
    if arguments.output is None:
        parser.error("--output is missing: trained networks are kept there")
    results: dict[str, list[Row]] = {variant: [] for variant in arguments.variants}
    for fold, people in enumerate(divide({row.speaker for row in store.rows}, arguments.folds)):
        for variant in arguments.variants:
            results[variant] += run(variant, fold, people, arguments)
        print(f"after fold {fold}:\n{table(results)}", flush=True)


if __name__ == "__main__":
    main()
