"""Train the network that paints what shows between the lips, on tracked clips whose videos are available.

Usage: python scripts/train_inner_mouth.py STORE [STORE ...] --output FILE [--without SPEAKER ...] [--steps 5000]

The pairs of a clip (about 10 s) are kept beside FILE, in FILE.pairs, and an interrupted preparation goes on there. The
training itself runs on one core, about 7 steps/s. --without leaves out people on whom the network will be tested.
FILE is a refiner: expnet animate --refiner FILE, python benchmarks/render_quality.py STORE --refiner FILE.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from expnet.data.store.track_store import TrackStore
from expnet.errors import ExpnetError, InputError
from expnet.face.morphable import load_face_model
from expnet.io.atomic import atomic_path
from expnet.models.saved_model import save_model
from learned_mouth.learning import MouthTraining
from learned_mouth.pairs import MouthPairs, make_pairs

EVERY = 200
"""Steps between reports."""


def collect(stores: Sequence[Path], folder: Path, without: set[str], per_speaker: int) -> list[MouthPairs]:
    """Make or read the pairs of at most ``per_speaker`` clips of everybody who is not left out."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[MouthPairs] = []
    for path in stores:
        store, count = TrackStore(path), dict[str, int]()
        for row in store.rows:
            count[row.speaker] = count.get(row.speaker, 0) + 1
            if row.speaker in without or count[row.speaker] > per_speaker:
                continue
            file = folder / f"{path.name}-{row.clip_id}.safetensors"
            try:
                if not file.is_file():
                    made = make_pairs(store.read(row.clip_id), load_face_model(row.face_model))
                    with atomic_path(file) as partial:
                        save_file({k: np.ascontiguousarray(v) for k, v in vars(made).items()}, partial)
            except ExpnetError as error:
                print(f"{row.clip_id} is left out: {error}", flush=True)
                continue
            pairs.append(MouthPairs(**load_file(file)))
    return pairs


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare the pairs, train, and save the averaged weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+", metavar="STORE", help="Track store with its videos.")
    parser.add_argument("--output", type=Path, required=True, help="The .safetensors file to write.")
    parser.add_argument("--without", nargs="*", default=[], metavar="SPEAKER", help="People to leave out.")
    parser.add_argument("--per-speaker", type=int, default=2, help="Clips of each person.")
    parser.add_argument("--steps", type=int, default=5000)
    arguments = parser.parse_args(argv)
    folder = arguments.output.with_name(arguments.output.name + ".pairs")
    pairs = collect(arguments.stores, folder, set(arguments.without), arguments.per_speaker)
    if not pairs:
        raise InputError("no clip gives a pair; give stores of 'expnet preprocess' whose videos are available.")
    torch.set_num_threads(1)
    training = MouthTraining(pairs)
    print(f"{len(pairs)} clips, {sum(len(clip.heights) for clip in pairs)} pairs", flush=True)
    losses: list[dict[str, float]] = []
    while training.steps < arguments.steps:
        losses.append(training.step())
        if training.steps % EVERY == 0 or training.steps == arguments.steps:
            means = {name: np.mean([row[name] for row in losses if name in row]) for name in losses[-1]}
            print(training.steps, " ".join(f"{name} {value:.3f}" for name, value in means.items()), flush=True)
            losses.clear()
            save_model(arguments.output, training.averaged, {"clips": len(pairs), "steps": training.steps})


if __name__ == "__main__":
    main()
