"""Does sampled head motion resemble real head motion on unseen speakers? Cross-validation by speaker.

    python benchmarks/pose.py STORE [STORE ...] [--folds 3] [--steps 400] [--output DIR] [KEY=VALUE ...]
    python benchmarks/pose.py STORE --weights RUN        (one given network, for speakers that it was not trained on)

The speakers of all stores are divided into folds; each fold is scored with networks trained on all other speakers.
KEY=VALUE changes the training of our network, as for train.py, and --sadtalker that of the other. --output keeps
networks and scores, so that an interrupted command resumes.

The rows are real clips; ours in the style of the average training speaker; ours in a style measured in frames of the
same speaker that are not scored (of another clip, or of the first half of the only clip; a speaker with a single short
clip has no such row); and SadTalker's network and scheme, trained on the same clips: each window of 32 frames is
sampled independently, followed by a Savitzky-Golay filter. Its audio encoder is random and frozen unless --sadtalker
init=FILE names the published weights.

A ratio is the sum over the sampled clips divided by the sum over the real clips; intervals are over speakers. Each clip
is sampled four times, with seeds of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from expnet.data.store.manifest import read_manifest
from expnet.errors import InputError
from expnet.models.pose_cvae import PoseCVAE
from expnet.models.saved_model import load_model
from shared.folds import check_names, divide
from shared.left_out_networks import train_once
from shared.pose_scores import Drawer, Segment, motion_scores, read_clips, score_draws, score_long, score_posterior
from shared.pose_table import REAL, Results, Row, tables

LONG_CLIPS = 5
"""Number of a fold's speakers for whom three minutes are sampled."""
AVERAGE, MEASURED, SADTALKER = "ours, average style", "ours, measured style", "SadTalker's scheme"


def drawers_of(run: Path) -> dict[str, Drawer]:
    """The rows that a network provides."""
    network = load_model(run, "pose")
    if isinstance(network, PoseCVAE):
        return {AVERAGE: Drawer(network), MEASURED: Drawer(network, measured=True)}
    return {SADTALKER: Drawer(network)}


def score_clip(drawer: Drawer, clip: Segment, other: Segment, *, long: bool) -> Row:
    """All scores of one network's motion for one clip."""
    row = {**score_draws(drawer, clip, other), **score_posterior(drawer.model, clip)}
    if long:
        row |= score_long(drawer, clip)
    return {key: value for key, value in row.items() if value == value}


def score_people(drawers: dict[str, Drawer], clips: Sequence[Segment]) -> Results:
    """Score every row on the clips of a fold's speakers."""
    results: Results = {REAL: {}, **{name: {} for name in drawers}}
    spoken: set[str] = set()
    if len({clip.speaker for clip in clips}) < 2:
        raise InputError("A fold needs clips of 66 frames or more of two people at least: take fewer folds.")
    for index, clip in enumerate(clips):
        # Audio of the next speaker, since clips of one speaker may be alike.
        other = next(o for o in [*clips[index:], *clips] if o.speaker != clip.speaker)
        long = clip.speaker not in spoken and len(spoken) < LONG_CLIPS
        spoken.add(clip.speaker)
        real = motion_scores(clip.pose, clip, other)
        results[REAL][clip.name] = {key: value for key, value in real.items() if value == value}
        for name, drawer in drawers.items():
            if not drawer.measured or clip.shown is not None:
                results[name][clip.name] = score_clip(drawer, clip, other, long=long)
    return results


def runs_of_fold(fold: int, people: set[str], arguments: argparse.Namespace, output: Path) -> list[Path]:
    """Train the networks of a fold, or find them."""
    common = ["trainer.threads=1"]
    ours = [f"trainer.max_steps={arguments.steps}", *common, *arguments.overrides]
    runs = [train_once("pose.yaml", f"ours-{fold}", arguments.stores, people, output, ours)]
    if arguments.sadtalker_steps:
        # The published batch of 64 windows runs its audio encoder 2112 times a step, so fewer and larger steps are
        # used.
        other = [f"trainer.max_steps={arguments.sadtalker_steps}", *common, "data.batch_size=4", "optim.lr=5e-4"]
        other += arguments.sadtalker
        runs.append(train_once("sadtalker_pose.yaml", f"sadtalker-{fold}", arguments.stores, people, output, other))
    return runs


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", nargs="+", metavar="STORE|KEY=VALUE")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="Folds to run; all by default.")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="SPEAKER", help="Speakers not to score.")
    parser.add_argument("--steps", type=int, default=400, help="Training steps of our network (%(default)s).")
    parser.add_argument("--sadtalker-steps", type=int, default=150, help="Steps of SadTalker's; 0 leaves it out.")
    parser.add_argument("--sadtalker", nargs="*", default=[], metavar="KEY=VALUE", help="Training of SadTalker's only.")
    parser.add_argument("--weights", type=Path, help="Score this network on all speakers and train nothing.")
    parser.add_argument("--output", type=Path, help="Folder for networks, tables and scores.")
    arguments = parser.parse_args(argv)
    arguments.overrides = [given for given in arguments.given if "=" in given]
    arguments.stores = [Path(given) for given in arguments.given if "=" not in given]
    if not arguments.stores:
        parser.error("name a track store")
    return arguments


def score_all(arguments: argparse.Namespace, output: Path) -> None:
    """Run the folds, and print and keep the tables after each."""
    check_names(arguments.stores)
    people = {row.speaker for store in arguments.stores for row in read_manifest(store)[0]}
    folds = [people] if arguments.weights else divide(people, arguments.folds)
    results: Results = {}
    speakers: dict[str, str] = {}
    for fold in arguments.only if arguments.only is not None else range(len(folds)):
        runs = [arguments.weights] if arguments.weights else runs_of_fold(fold, folds[fold], arguments, output)
        drawers = {name: drawer for run in runs for name, drawer in drawers_of(run).items()}
        clips = list(read_clips(arguments.stores, folds[fold] - set(arguments.exclude)))
        speakers |= {clip.name: clip.speaker for clip in clips}
        for name, rows in score_people(drawers, clips).items():
            results.setdefault(name, {}).update(rows)
        text = tables(results, speakers)
        print(f"fold {fold}\n\n{text}\n", flush=True)
        (output / "table.md").write_text(text + "\n")
        (output / "pose.json").write_text(json.dumps({"people": speakers, "scores": results}, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Score head motion."""
    arguments = parse(argv)
    torch.set_num_threads(1)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)
        score_all(arguments, arguments.output)
        return
    with tempfile.TemporaryDirectory() as work:
        score_all(arguments, Path(work))


if __name__ == "__main__":
    main()
