"""Does the first frame's expression persist? The same audio from a neutral, a smiling and an angry first frame.

    python benchmarks/first_frame.py --train STORE [STORE ...] --made STORE --people NAME [NAME ...]
        --start neutral=CLIP --start happy=CLIP --start angry=CLIP --output DIR [KEY=VALUE ...]

Three networks are trained without the scored speakers (KEY=VALUE changes the training, as for train.py; networks that
exist in DIR are reused): the default; one that is not conditioned on the first frame but starts from it; and one that
is conditioned on it but starts from the training mean. Scores have intervals over speakers:

- synthetic voices: the speech of --made (expnet synthesize), spoken by new synthetic faces that are neutral, happy and
  angry throughout, so that the correct output is known;
- real people: the clips of --people in the training stores, from the first frames of the --start clips, which are also
  of these people;
- open mouth: the clips of --people from their own frame with the mouth most open in the first half, and from that with
  the mouth most shut. A network that adds a change to an open mouth without seeing it keeps the mouth open. The third
  row is the open mouth with its lips shut, as `expnet animate` gives it to the network
  (`expnet.animate.controls.motion_scale.close_lips`).

--strip FILE draws frames of one synthetic voice on the built-in portrait.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from expnet.animate.controls.motion_scale import close_lips
from expnet.audio.alignment import FRAME_RATE
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from expnet.data.synthetic.speakers import make_speaker
from expnet.data.synthetic.utterance_track import utterance_track
from expnet.evaluation.store.clips import Clip
from expnet.face.facial_features import feature_space
from expnet.face.morphable import builtin_face_model
from expnet.io.markdown import markdown_table
from expnet.metrics.functional import landmark_distance, mouth_opening, pearson
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.models.expression_regressor import ExpressionRegressor
from expnet.render.reenactment import label_images, open_reenactment
from shared.first_frame_retention import LATE_FRAMES, late_mean, nearest_face, opening_range, share_along
from shared.left_out_networks import train_expression_once

VARIANTS = {
    "default": (),
    "not shown": ("model.first_frame_conditioning=false",),
    "not added": ("model.residual=false",),
}
MOODS = {"neutral": 0, "happy": 3, "angry": 3}
OPEN_EYE = 0.3  # aspect ratio; unused, since no network here takes blinks
FACE = builtin_face_model()
METRIC = FACE.expression_metric


@dataclass(frozen=True, eq=False)
class Case:
    """One clip of audio with first frames to start from.

    Attributes:
        group: Table that it belongs to.
        clip: The audio, the identity, and the true mouth motion.
        starts: (E,) First expressions by name, the neutral one first.
        moods: (E,) Mean expressions of a person in the mood of each start, by the same names; empty where the starts
            do not differ in mood.
        truths: (T, E) True expressions by name, where known.
    """

    group: str
    clip: Clip
    starts: Mapping[str, Tensor]
    moods: Mapping[str, Tensor]
    truths: Mapping[str, Tensor]


def on_face(clip: Clip, expression: Tensor) -> Tensor:
    """Landmarks (T, 68, 3) of an expression (T, E) on the clip's identity."""
    return FACE.landmarks(torch.as_tensor(clip.track.coefficients.identity).expand(len(expression), -1), expression)


def _first(expression: Tensor) -> Tensor:
    return expression[0]


def _mean(expression: Tensor) -> Tensor:
    return expression.mean(dim=0)


def made_cases(store: Path) -> Iterator[Case]:
    """Yield each clip of a synthetic corpus, spoken by a new face in every mood with the same random motion."""
    opened = TrackStore(store)
    for number, row in enumerate(opened.rows):
        speech = opened.read(row.clip_id)
        space = feature_space(FACE)
        speaker = make_speaker(f"face_{number}", speech.language, space, np.random.default_rng((0, number)))
        tracks = {
            mood: utterance_track(
                speech.audio,
                speech.phonemes,
                speaker,
                random=np.random.default_rng((1, number)),
                clip_id=speech.clip_id,
                emotion=mood,
                level=level,
            )
            for mood, level in MOODS.items()
        }
        truths = {mood: torch.from_numpy(track.coefficients.expression) for mood, track in tracks.items()}
        clip = Clip(tracks["neutral"], OPEN_EYE, speech.clip_id)
        starts, moods = ({mood: of(truth) for mood, truth in truths.items()} for of in (_first, _mean))
        yield Case("synthetic voices", clip, starts, moods, truths)


def real_cases(tracks: Sequence[Track], starts: Mapping[str, str]) -> Iterator[Case]:
    """Yield each clip with the first frames of other clips, and with two frames of its own."""
    by_name = {track.clip_id: torch.from_numpy(track.coefficients.expression) for track in tracks}
    given, moods = ({name: of(by_name[clip]) for name, clip in starts.items()} for of in (_first, _mean))
    for track in tracks:
        clip = Clip(track, OPEN_EYE, track.clip_id)
        if track.frames >= 2 * LATE_FRAMES:
            yield Case("real people", clip, given, moods, {})
        opening = mouth_opening(on_face(clip, clip.expression))[: track.frames // 2]
        widest = int(opening.argmax())
        ends = {"shut": clip.expression[opening.argmin()], "open": clip.expression[widest]}
        ends["open, lips shut first"] = torch.from_numpy(close_lips(FACE, track.coefficients[widest : widest + 1]))[0]
        yield Case("open mouth", clip, ends, {}, dict.fromkeys(ends, clip.expression))


@torch.no_grad()
def score(network: ExpressionRegressor, case: Case) -> list[dict[str, float | str]]:
    """Score every start of a case, one row each."""
    clip, neutral = case.clip, next(iter(case.starts))
    spoken = {name: network(clip.mel[None], clip.frames, first[None])[0] for name, first in case.starts.items()}
    usual = opening_range(on_face(clip, spoken[neutral]))
    rows: list[dict[str, float | str]] = []
    for name, expression in spoken.items():
        landmarks = on_face(clip, expression)
        target = on_face(clip, case.truths.get(name, clip.expression))
        opening, true_opening = mouth_opening(landmarks), mouth_opening(target)
        row: dict[str, float | str] = {
            "group": case.group,
            "clip": clip.clip_id,
            "speaker": clip.track.speaker,
            "start": name,
            "range": opening_range(landmarks) / usual,
            "correlation": float(pearson(opening, true_opening, valid=clip.valid)),
        }
        if case.moods:
            row["recognised"] = float(nearest_face(late_mean(expression), case.moods, METRIC) == name)
            mood = case.moods[name] - case.moods[neutral]
            row["at_first"] = share_along(case.starts[name] - case.starts[neutral], mood, METRIC)
            row["at_end"] = share_along(late_mean(expression) - late_mean(spoken[neutral]), mood, METRIC)
        if case.truths:
            row |= against_truth(landmarks, target, clip.valid)
        rows.append(row)
    return rows


def against_truth(landmarks: Tensor, target: Tensor, valid: Tensor) -> dict[str, float]:
    """Distances to the true landmarks (T, 68, 3), in percent of the eye distance."""
    opening, true_opening = mouth_opening(landmarks), mouth_opening(target)
    late = (landmarks[-LATE_FRAMES:], target[-LATE_FRAMES:])
    mouth = landmark_distance(landmarks, target, valid=valid, region="mouth", normalisation="interocular")
    return {
        "late_distance": 100 * float(landmark_distance(*late, normalisation="interocular")),
        "mouth_distance": 100 * float(mouth),
        "shut": 100 * float(opening.quantile(0.05) - true_opening.quantile(0.05)),
    }


COLUMNS = {
    "synthetic voices": ("at_first", "at_end", "recognised", "range", "correlation", "late_distance"),
    "real people": ("at_first", "at_end", "recognised", "range", "correlation"),
    "open mouth": ("shut", "mouth_distance", "correlation"),
}
TITLES = {
    "at_first": "mood in the first frame",
    "at_end": "mood at the end",
    "recognised": "mood recognised",
    "range": "opening range over that from neutral",
    "correlation": "mouth-opening correlation",
    "late_distance": "face distance at the end (% of eye distance)",
    "mouth_distance": "mouth distance (% of eye distance)",
    "shut": "mouth at its most shut, above the truth (% of eye distance)",
}


def table(rows: Mapping[str, Sequence[Mapping[str, float | str]]], group: str) -> str:
    """Table with a line for each variant and start, with 95 % intervals over speakers."""
    columns = COLUMNS[group]
    lines = []
    for variant, scored in rows.items():
        own = [row for row in scored if row["group"] == group]
        for start in dict.fromkeys(row["start"] for row in own):
            here = [row for row in own if row["start"] == start]
            cells = []
            for column in columns:
                values = [float(row.get(column, "nan")) for row in here]
                interval = bootstrap_interval(values, groups=[str(row["speaker"]) for row in here])
                bounds = "" if interval.low is None else f" [{interval.low:.2f}, {interval.high:.2f}]"
                cells.append(f"{interval.mean:.2f}{bounds}" if interval.count else "")
            lines.append([variant, start, *cells])
    return markdown_table(["network", "first frame", *(TITLES[column] for column in columns)], lines)


@torch.no_grad()
def draw_strip(network: ExpressionRegressor, case: Case, path: Path) -> None:
    """Draw frames of one clip: a row per start, and the moments at which the neutral start's mouth is open widest."""
    clip = case.clip
    stage = open_reenactment(clip.track, FACE, 1)
    spoken = {name: network(clip.mel[None], clip.frames, first[None])[0] for name, first in case.starts.items()}
    opening = mouth_opening(on_face(clip, next(iter(spoken.values()))))
    parts = np.array_split(np.arange(clip.frames), 4)
    seen = [0, *(int(part[int(opening[part].argmax())]) for part in parts), clip.frames - 1]
    sheets = []
    for name, expression in spoken.items():
        expression = torch.cat([case.starts[name][None], expression[seen[1:]]])
        images = stage.render(expression, clip.pose[:1].expand(len(seen), -1))
        sheets.append(label_images([(f"{name} {t / FRAME_RATE:.1f} s", p) for t, p in zip(seen, images, strict=True)]))
    Image.fromarray(np.concatenate(sheets)).save(path)


def main() -> None:
    """Train, score, print the tables, and draw the strip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="Stores to train on.")
    parser.add_argument("--made", type=Path, required=True, help="Store of synthetic speech of other voices.")
    parser.add_argument("--people", nargs="+", required=True, help="Speakers of the training stores to leave out.")
    parser.add_argument("--leave-out", nargs="*", default=[], help="Further speakers to leave out of the training.")
    parser.add_argument("--start", action="append", required=True, metavar="NAME=CLIP", help="Neutral first.")
    parser.add_argument("--strip", type=Path, help="PNG file to draw.")
    parser.add_argument("--output", type=Path, required=True)
    arguments, overrides = parser.parse_known_args()
    opened = [TrackStore(store) for store in arguments.train]
    tracks = [store.read(row.clip_id) for store in opened for row in store.rows if row.speaker in set(arguments.people)]
    starts = dict(start.split("=", 1) for start in arguments.start)
    cases = [*made_cases(arguments.made), *real_cases(tracks, starts)]
    people = {*arguments.people, *arguments.leave_out, *(row.speaker for row in TrackStore(arguments.made).rows)}
    networks = {
        name: train_expression_once(
            name.replace(" ", "_"), arguments.train, people, arguments.output, [*changes, *overrides]
        )
        for name, changes in VARIANTS.items()
    }
    rows = {name: [row for case in cases for row in score(network, case)] for name, network in networks.items()}
    for group in COLUMNS:
        of_group = [case for case in cases if case.group == group]
        count = len({case.clip.track.speaker for case in of_group})
        print(f"\n{group}: {len(of_group)} clips of {count} people\n\n{table(rows, group)}", flush=True)
    (arguments.output / "first_frame.json").write_text(json.dumps(rows, indent=1))
    if arguments.strip:
        draw_strip(networks["default"], cases[0], arguments.strip)


if __name__ == "__main__":
    main()
