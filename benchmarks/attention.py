"""What does sequence length cost? Networks with each attention bias, trained on 64 frames and run on up to a minute.

    python benchmarks/attention.py --train STORE [STORE ...] --scored STORE [STORE ...] --output DIR [KEY=VALUE ...]

One network per bias is trained on the clips of --train (KEY=VALUE changes the training, as for train.py; networks that
exist in DIR are reused). The speakers of --scored with enough frames for the greatest length are scored, their clips
joined end to end; none of them is trained on. Every frame is scored at every length with a context of at least --margin
frames, and the first frame of the speaker's first clip is given at every length, so only the length of the audio that
attention sees differs. `expnet ablate` computes this curve on joined clips of many speakers.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch

from expnet.data.store.track_store import TrackStore
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.joined_clips import join_clips, predict_at_length
from expnet.face.morphable import builtin_face_model
from expnet.io.markdown import markdown_table
from expnet.metrics import LandmarkDistance, MouthOpeningCorrelation, WithinClipR2
from expnet.metrics.functional.statistics import bootstrap_difference, bootstrap_interval
from expnet.models.expression_regressor import ExpressionRegressor
from shared.left_out_networks import train_expression_once

BIASES = ("alibi", "alibi_causal", "alibi_learned", "sinusoidal", "none")
OPEN_EYE = 0.3  # aspect ratio; no network here takes blinks
HEADER = (
    "attention bias",
    "frames",
    "mouth-opening correlation",
    "motion not explained",
    "change",
    "mouth distance (% of eye distance)",
    "change",
)
Row = dict[str, float | str | int]


def long_speech(store: Path, frames: int) -> Iterator[list[Clip]]:
    """Yield the clips of each speaker who has enough frames, in the store's order."""
    opened = TrackStore(store)
    rows = sorted(opened.rows, key=lambda row: row.speaker)
    for _, group in groupby(rows, key=lambda row: row.speaker):
        clips = [Clip(opened.read(row.clip_id), OPEN_EYE, row.clip_id) for row in group]
        if sum(clip.frames for clip in clips) >= frames:
            yield clips


def score(network: ExpressionRegressor, clips: Sequence[Clip], length: int, margin: int) -> list[Row]:
    """Score one speaker's clips, processed ``length`` frames at once; one row per clip."""
    face = builtin_face_model()
    metrics = (
        WithinClipR2(metric=face.expression_metric),
        LandmarkDistance(region="mouth", normalisation="interocular"),
        MouthOpeningCorrelation(),
    )
    first = clips[0].expression[0]
    rows = []
    changes = predict_at_length(network, join_clips(clips), length, margin=margin, first_expression=first)
    for clip, change in zip(clips, changes, strict=True):
        identity = torch.as_tensor(clip.track.coefficients.identity).expand(clip.frames, -1)
        pair = (first + change, clip.expression)
        mouths = [face.landmarks(identity, expression)[None] for expression in pair]
        valid = clip.valid[None]
        r2, weight = metrics[0].score(pair[0][None], pair[1][None], valid)
        rows.append(
            {
                "clip": clip.clip_id,
                "speaker": clip.track.speaker,
                "length": length,
                "unexplained_motion": 1 - float(r2),
                "weight": float(weight),
                "mouth_distance": 100 * float(metrics[1].score(*mouths, valid)[0]),
                "mouth_opening_correlation": float(metrics[2].score(*mouths, valid)[0]),
            }
        )
    return rows


def table(rows: dict[str, list[Row]], lengths: Sequence[int]) -> str:
    """Table with a line per bias and length: three scores, and the increase of the errors over the shortest length."""
    people = {row["speaker"] for row in next(iter(rows.values()))}
    unit = "speaker" if len(people) > 1 else "clip"
    lines = []
    for bias, scored in rows.items():
        by_length = {length: [row for row in scored if row["length"] == length] for length in lengths}
        for length, here in by_length.items():
            groups = [str(row[unit]) for row in here]
            shortest = by_length[lengths[0]]
            cells = []
            for key in ("mouth_opening_correlation", "unexplained_motion", "mouth_distance"):
                weights = [float(row["weight"]) for row in here] if key == "unexplained_motion" else None
                values, before = ([float(row[key]) for row in some] for some in (here, shortest))
                mean = bootstrap_interval(values, weights=weights, groups=groups)
                cells.append(f"{mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]")
                if key != "mouth_opening_correlation":
                    change = bootstrap_difference(values, before, weights=weights, groups=groups)
                    unit_of = bootstrap_interval(before, weights=weights, groups=groups).mean / 100
                    cells.append(
                        f"{change.mean / unit_of:+.2f} % [{change.low / unit_of:+.2f}, {change.high / unit_of:+.2f}]"
                    )
            lines.append([bias, length, *cells])
    counted = f"{len(people)} people; 95 % intervals over {'people' if unit == 'speaker' else 'clips'}."
    return f"{counted}\n\n{markdown_table(HEADER, lines, align='lrl')}"


def main() -> None:
    """Train, score, and print a table for each store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="Stores to train on.")
    parser.add_argument("--scored", type=Path, nargs="+", required=True, help="Stores whose speakers are scored.")
    parser.add_argument("--leave-out", nargs="*", default=[], help="Further speakers to leave out of the training.")
    parser.add_argument("--biases", nargs="+", default=BIASES)
    parser.add_argument("--lengths", type=int, nargs="+", default=(64, 250, 750, 1500))
    parser.add_argument("--margin", type=int, default=16)
    parser.add_argument("--output", type=Path, required=True)
    arguments, overrides = parser.parse_known_args()
    lengths = sorted(arguments.lengths)
    speech = {store: list(long_speech(store, lengths[-1])) for store in arguments.scored}
    people = {clips[0].track.speaker for persons in speech.values() for clips in persons} | {*arguments.leave_out}
    networks = {
        bias: train_expression_once(
            bias, arguments.train, people, arguments.output, [f"model.attention_bias={bias}", *overrides]
        )
        for bias in arguments.biases
    }
    found: dict[str, dict[str, list[Row]]] = {}
    for store, persons in speech.items():
        rows: dict[str, list[Row]] = defaultdict(list)
        for bias, network in networks.items():
            for clips in persons:
                for length in lengths:
                    rows[bias] += score(network, clips, length, arguments.margin)
        found[store.name] = rows
        print(f"\n{store.name}: {table(rows, lengths)}", flush=True)
    (arguments.output / "attention.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
