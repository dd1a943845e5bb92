"""Do drawn heads move like real ones, on people that the network has never seen? Folds by person, real clips beside.

    python benchmarks/pose.py STORE [STORE ...] [--folds 3] [--steps 400] [--output DIR] [KEY=VALUE ...]
    python benchmarks/pose.py STORE --weights RUN        (one network as it is: for people that it has not heard)

The people of all stores are divided into folds; a fold's heads are drawn by networks that were trained on everybody
else. KEY=VALUE changes the training of our network, as for train.py, and --sadtalker that of the other. --output keeps
networks and scores, and the command goes on where it was stopped.

Rows: real clips; ours in the style of the average training speaker; ours in a style that was measured in frames of the
same person that are not scored (another clip, or the first half of the only one; short only clips have no such row);
SadTalker's network and scheme (each window of 32 frames drawn by itself, then a Savitzky-Golay filter), trained on the
same clips. Its audio encoder is random and frozen unless --sadtalker init=FILE names the published weights.

A ratio is the sum over clips of the drawn over the sum of the real; intervals draw people. Draws: four a clip, whose
chance is the clip's own.
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
from shared.pose_scores import Drawer, Heard, motion_scores, read_clips, score_draws, score_long, score_posterior
from shared.pose_table import REAL, Results, Row, tables

LONG_CLIPS = 5
"""People of a fold for whose sound three minutes are drawn."""
AVERAGE, MEASURED, SADTALKER = "ours, average style", "ours, measured style", "SadTalker's scheme"


def drawers_of(run: Path) -> dict[str, Drawer]:
    """The rows that a network makes."""
    network = load_model(run, "pose")
    if isinstance(network, PoseCVAE):
        return {AVERAGE: Drawer(network), MEASURED: Drawer(network, measured=True)}
    return {SADTALKER: Drawer(network)}


def score_clip(drawer: Drawer, clip: Heard, other: Heard, *, long: bool) -> Row:
    """All scores of one network's heads for one clip."""
    row = {**score_draws(drawer, clip, other), **score_posterior(drawer.model, clip)}
    if long:
        row |= score_long(drawer, clip)
    return {key: value for key, value in row.items() if value == value}


def score_people(drawers: dict[str, Drawer], clips: Sequence[Heard]) -> Results:
    """Score every row on the clips of a fold's people."""
    results: Results = {REAL: {}, **{name: {} for name in drawers}}
    spoken: set[str] = set()
    if len({clip.speaker for clip in clips}) < 2:
        raise InputError("A fold needs clips of 66 frames or more of two people at least: take fewer folds.")
    for index, clip in enumerate(clips):
        # the next person's: one person's sounds may be alike
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
    """Train the networks that a fold's people are scored with, or find them."""
    common = ["trainer.threads=1"]
    ours = [f"trainer.max_steps={arguments.steps}", *common, *arguments.overrides]
    runs = [train_once("pose.yaml", f"ours-{fold}", arguments.stores, people, output, ours)]
    if arguments.sadtalker_steps:
        # The published batch of 64 windows needs its audio encoder 2112 times a step: fewer, and larger steps.
        other = [f"trainer.max_steps={arguments.sadtalker_steps}", *common, "data.batch_size=4", "optim.lr=5e-4"]
        other += arguments.sadtalker
        runs.append(train_once("sadtalker_pose.yaml", f"sadtalker-{fold}", arguments.stores, people, output, other))
    return runs


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", nargs="+", metavar="STORE|KEY=VALUE")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="folds to run, all by default")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="SPEAKER", help="people with two names: not scored")
    parser.add_argument("--steps", type=int, default=400, help="of our network")
    parser.add_argument("--sadtalker-steps", type=int, default=150, help="of SadTalker's; 0 leaves it out")
    parser.add_argument("--sadtalker", nargs="*", default=[], metavar="KEY=VALUE", help="training of SadTalker's alone")
    parser.add_argument("--weights", type=Path, help="score this network on all people and train nothing")
    parser.add_argument("--output", type=Path, help="folder for networks, tables and scores")
    arguments = parser.parse_args(argv)
    arguments.overrides = [given for given in arguments.given if "=" in given]
    arguments.stores = [Path(given) for given in arguments.given if "=" not in given]
    if not arguments.stores:
        parser.error("name a track store")
    return arguments


def score_all(arguments: argparse.Namespace, output: Path) -> None:
    """Run the folds, print the tables after each, and keep them."""
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
    """Score heads."""
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
