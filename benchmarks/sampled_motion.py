"""Does a sampled motion follow the audio as well as a regression does, and does it move like a person?

Usage: python benchmarks/sampled_motion.py --run RUN ... --scored STORE --features FOLDER [--samples 4]
           [--settings KEY=VALUE,... ...] [--regression NAME|RUN ...] [--transcripts FILE.csv]
           [--lookaheads FRAMES ...] [--clips ID ...] [--output DIR]

RUN is a run of configs/motion.yaml that was trained without the people of --scored: a person of both is refused. With
several runs, such as trainings with other seeds, a clip's score is the mean over them. Each row is one setting of the
sampler, such as ``temperature=0.5,audio_guidance=1.25,steps=10,method=midpoint``; keys that are left out have their
defaults. Expression networks of the package or of a run (--regression) stand beside them.

``--lookaheads 0 5 10 20`` adds rows of live motion of the first run: the same clips heard as a stream hears them, every
block encoded and drawn from the speech of the last seconds and that many frames after it; the same for every
--regression on features of the same encoder. Their printed lines also have velocity and acceleration at the joins of
blocks over those inside.

Columns: correlation of the mouth opening of one sample and of the mean of all samples with the real one; share of the
real closures at m, b and p that a sample has (with --transcripts, see accuracy.py); standard deviation of the opening,
landmark jitter, motion of the brows and of the lids over the real ones (medians over clips); standard deviation of the
head's angles, their speed and their jitter over the real ones (medians over clips); milliseconds of one core for a
second of speech. Brackets are 95 % intervals over people.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from expnet.assets.encoders import open_speech_encoder, source_of
from expnet.audio.speech_encoders import SpeechEncoder
from expnet.data.store.feature_cache import FeatureCache
from expnet.data.store.track_store import TrackStore
from expnet.errors import InputError
from expnet.evaluation.store.clips import Clip
from expnet.evaluation.store.systems import Networks
from expnet.face.morphable import builtin_face_model
from expnet.io.markdown import markdown_table
from expnet.models.flow_matching.live import Schedule
from expnet.models.flow_matching.motion import Motion
from expnet.models.flow_matching.motion_flow import MotionFlow
from expnet.models.flow_matching.solver import Sampling
from expnet.models.interfaces import ExpressionNetwork, load_expression_network
from expnet.models.packaged_weights import NAMES, packaged_weights
from expnet.models.saved_model import open_model
from shared.folds import read_clip
from shared.live_motion import HeardFeatures, joins, live_regression, live_sampler
from shared.sampled_motion_scores import COLUMNS, SampledMotionScorer, intervals, summary
from shared.transcripts import phonemes_of, read_transcripts

Row = dict[str, tuple[float, float, float]]
"""A row of the table: each column's value with the ends of its interval."""
SETTINGS = [
    "",
    "temperature=0.5",
    "temperature=1.0",
    "audio_guidance=1.0",
    "audio_guidance=2.0",
    "mean_guidance=0,lip_variation=1",
    "mean_guidance=0.6,lip_variation=0.4",
    "mean_guidance=0.75,lip_variation=0.3",
    "mean_guidance=1.35,lip_variation=0",
    "steps=2",
    "steps=4",
    "steps=25",
    "steps=5,method=midpoint",
]


def read_setting(text: str) -> Sampling:
    """Read a setting of the sampler from KEY=VALUE pairs with commas between them."""
    values: dict[str, object] = {}
    for pair in filter(None, text.split(",")):
        name, _, value = pair.partition("=")
        if name not in Sampling.__dataclass_fields__:
            raise InputError(f"{pair}: a setting is one of {', '.join(Sampling.__dataclass_fields__)} with a value.")
        values[name] = value if name == "method" else int(value) if name == "steps" else float(value)
    return Sampling(**values)  # type: ignore[arg-type]


def clips_of(store: Path, features: Path, known: set[str]) -> list[Clip]:
    """Read the clips to score.

    Raises:
        InputError: The network was trained on one of their people.
    """
    opened = TrackStore(store)
    people = known & {row.speaker for row in opened.rows}
    if people:
        raise InputError(f"The network was trained on {', '.join(sorted(people))}, who are scored: leave them out.")
    cache = FeatureCache(features, opened)
    return [read_clip(opened, row, cache) for row in opened.rows]


def sampler(network: MotionFlow, sampling: Sampling, samples: int) -> Callable[[Clip], Motion]:
    """Return a function that draws motions of a clip, each with a seed of its own."""

    def draw(clip: Clip) -> Motion:
        first, pose = clip.expression[:1].expand(samples, -1), clip.pose[:1].expand(samples, -1)
        features = clip.speech_features()[None].expand(samples, -1, -1)
        return network.sample(
            clip.frames, first, features=features, first_pose=pose, seed=list(range(samples)), sampling=sampling
        )

    return draw


def opened_regression(name: str) -> ExpressionNetwork:
    """Open an expression network of the package or of a run."""
    return load_expression_network(packaged_weights(name) if name in NAMES else name)


def regression(name: str) -> Callable[[Clip], Motion]:
    """Return a function that regresses the expression of a clip."""
    network = opened_regression(name)
    system = Networks(name, name, "model", "", expression=network)
    return lambda clip: Motion(expression=system.predict(clip).expression[None])


def score(
    clips: Sequence[Clip],
    draws: Sequence[Callable[[Clip], Motion]],
    transcripts: dict[str, tuple[str, str]],
    hop: int | None = None,
) -> Row:
    """Score one row of the table; of motion in blocks of ``hop`` frames also how smoothly they join."""
    scorer = SampledMotionScorer(builtin_face_model())
    rows, smooth, seconds, drawn = [], [], 0.0, 0.0
    for clip in clips:
        phonemes, found = phonemes_of(clip, transcripts), []
        for draw in draws:
            begin = time.process_time()
            motion = draw(clip)
            seconds += time.process_time() - begin
            parts = (motion.expression, motion.pose, motion.lids)
            drawn += next(len(part) for part in parts if isinstance(part, Tensor)) * clip.frames / 25
            found.append(scorer.score(clip, motion, phonemes))
            smooth.append({} if hop is None else joins(motion, hop))
        rows.append({key: sum(one[key] for one in found) / len(found) for key in found[0]})
    ends, row = intervals(rows, [clip.track.speaker for clip in clips]), summary(rows)
    found_joins = {key: float(np.nanmean([one[key] for one in smooth])) for key in smooth[0]}
    alone = {"milliseconds": 1000 * seconds / drawn, **found_joins}
    return {key: (value, *ends[key]) for key, value in row.items()} | {key: (x, x, x) for key, x in alone.items()}


def cell(key: str, digits: int, values: tuple[float, float, float]) -> str:
    """Return a cell of the table: the value, and its interval for what varies over people."""
    value, low, high = values
    text = f"{value:.{digits}f}"
    return text if key == "milliseconds" or math.isnan(value) else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def opened_encoder(network: MotionFlow) -> SpeechEncoder:
    """Open the speech encoder of a network.

    Raises:
        InputError: It needs none.
    """
    encoder = open_speech_encoder(network, None)
    if encoder is None:
        raise InputError("Live rows need a motion network that was trained on speech features: leave --lookaheads out.")
    return encoder


def live_rows(
    network: MotionFlow, lookaheads: Sequence[int], regressions: Sequence[str], clips: Sequence[Clip], samples: int
) -> dict[str, Row]:
    """Score live motion for each look-ahead, and print how smooth its blocks join."""
    rows: dict[str, Row] = {}
    if not lookaheads:
        return rows
    features = HeardFeatures(opened_encoder(network))
    networks = {name: opened_regression(name) for name in regressions}
    for lookahead in lookaheads:
        schedule = Schedule(lookahead=lookahead)
        drawers = {"sampled": live_sampler(network, features, schedule, samples)}
        for name, found in networks.items():
            if source_of(found) == features.encoder.source:
                drawers[name] = live_regression(found, features, schedule)
        for name, draw in drawers.items():
            title = f"{name}, live, {40 * lookahead} ms"
            rows[title] = score(clips, [draw], {}, schedule.hop)
            print(title, {key: round(value, 3) for key, (value, *_) in rows[title].items()}, flush=True)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Score every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs="+", required=True, help="Runs of configs/motion.yaml, or their weights.")
    parser.add_argument("--scored", type=Path, required=True, help="Store whose clips are scored.")
    parser.add_argument("--features", type=Path, required=True, help="Speech features of that store.")
    parser.add_argument("--samples", type=int, default=4, help="Motions drawn for each clip.")
    parser.add_argument("--settings", nargs="*", default=SETTINGS, metavar="KEY=VALUE,...", help="Rows of the table.")
    parser.add_argument("--regression", nargs="*", default=[], help="Expression networks beside the sampled motion.")
    parser.add_argument("--lookaheads", type=int, nargs="*", default=[], help="Frames that live rows wait for.")
    parser.add_argument("--clips", nargs="*", default=[], metavar="ID", help="Clips to score; all by default.")
    help_ = "CSV file with the columns clip and text; may be given several times."
    parser.add_argument("--transcripts", type=Path, action="append", default=[], metavar="FILE.csv", help=help_)
    parser.add_argument("--output", type=Path, help="Folder for table.md and scores.json.")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    opened = [open_model(run, "motion") for run in arguments.run]
    networks = [cast(MotionFlow, network) for network, _ in opened]
    known = {person for _, header in opened for person in header["notes"].get("speakers", ())}
    clips = clips_of(arguments.scored, arguments.features, known)
    clips = [clip for clip in clips if not arguments.clips or clip.clip_id in arguments.clips]
    transcripts = read_transcripts(arguments.transcripts)
    rows: dict[str, Row] = {}
    for name in arguments.regression:
        rows[name] = score(clips, [regression(name)], transcripts)
    for text in arguments.settings:
        sampling = read_setting(text)
        draws = [sampler(network, sampling, arguments.samples) for network in networks]
        rows[text or "defaults"] = score(clips, draws, transcripts)
    rows |= live_rows(networks[0], arguments.lookaheads, arguments.regression, clips, arguments.samples)
    cells = [[name, *(cell(key, digits, row[key]) for key, _, digits in COLUMNS)] for name, row in rows.items()]
    table = markdown_table(["", *(title for _, title, _ in COLUMNS)], cells, align="lr")
    print(table)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "table.md").write_text(table + "\n", encoding="utf-8")
        (arguments.output / "scores.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
