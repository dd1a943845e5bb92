"""Train the networks of the package from video, and pack them.

Usage: python scripts/make_weights.py --clips DIR [DIR ...] --output DIR [--speakers FILE ...] [--pretrain]

Each DIR is a folder of videos or a track store. The runs stay in --output, and an interrupted command resumes.
--pretrain also trains the network on synthetic speech only, from which the others are initialised and which estimates
audio offsets; its calibration (expnet.data.preprocess.sync_offset) then has to be repeated. The tables in
expnet/models/weights/README.md, printed by benchmarks/accuracy.py and benchmarks/pose.py, are updated by hand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from expnet.audio.alignment import FRAME_RATE
from expnet.data.store.track_store import TrackStore
from pack_weights import pack
from stages import EXPNET, Stage, resume, run_stages, script

MADE = ["--clips", "1200", "--seed", "1"]
STEPS = {"synthetic": 1100, "expression": 500, "whisper": 500, "streaming": 400, "motion": 3500, "pose": 400}
ENCODER = "whisper-tiny.en"
"""The speech encoder of ``expression-whisper`` and ``motion``; 'expnet assets fetch' gets it."""
HIDE = ["augment.time_masks=2", "augment.band_masks=2"]
"""Augmentation of synthetic speech, parts of which are masked: it is cleaner than any recording, and plentiful."""


def track_store(folder: Path, output: Path) -> Path:
    """The track store of a folder, existing or planned: the folder itself if it is a store."""
    return folder if (folder / "manifest.parquet").is_file() else output / "tracks" / folder.name


def preprocess(folder: Path, output: Path, speakers: Path | None) -> Stage:
    """The stage that tracks a folder of videos."""
    store = track_store(folder, output)
    command = [EXPNET, "preprocess", str(folder), "--output", str(store), "--offset", "correct", "--max-offset", "0"]
    command += ["--workers", "2"]
    command += ["--speakers", str(speakers)] if speakers else []
    return Stage(f"Tracks of {folder.name}", command, store / "manifest.parquet")


def features_of(store: Path, output: Path) -> Path:
    """The folder of a store's speech features."""
    return output / "features" / store.name


def features(store: Path, output: Path) -> Stage:
    """The stage that computes the speech features of a store, or continues; needed until the networks are trained."""
    command = [EXPNET, "features", str(store), "--encoder", ENCODER, "--copies", "4"]
    command += ["--output", str(features_of(store, output))]
    return Stage(f"Speech features of {store.name}", command, output / "motion" / "model.safetensors")


def train(name: str, config: str, stores: list[Path], output: Path, *overrides: str) -> Stage:
    """The stage that trains a network on all speakers of some stores except those used for validation."""
    run = output / name
    data = [f"data.store=[{','.join(map(str, stores))}]", "data.test_fraction=0"]
    steps = [f"trainer.max_steps={STEPS[name]}", f"output={run}"]
    return Stage(
        name.capitalize(),
        script("train.py", config, *data, *steps, *overrides, *resume(run)),
        run / "model.safetensors",
    )


def contents(stores: list[Path]) -> str:
    """Describe the contents of the stores for the notes of the weights."""
    rows = [row for store in stores for row in TrackStore(store).rows]
    minutes = sum(row.frames for row in rows) / FRAME_RATE / 60
    return f"{len(rows)} tracked clips, {len({row.speaker for row in rows})} speakers, {minutes:.0f} minutes"


def main() -> int:
    """Run the stages and pack the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, nargs="+", required=True, metavar="DIR", help="Videos, or track stores.")
    parser.add_argument("--speakers", type=Path, nargs="+", help="CSV file of each folder's speakers.")
    parser.add_argument("--pretrain", action="store_true", help="Also train the network on synthetic speech only.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="Folder for tracks and runs.")
    arguments = parser.parse_args()
    folders, output = arguments.clips, arguments.output.resolve()
    speakers = arguments.speakers or [None] * len(folders)
    if len(speakers) != len(folders):
        parser.error("--speakers takes as many files as --clips takes folders")
    stores, made = [track_store(folder, output) for folder in folders], output / "tracks" / "synthetic"
    todo = [preprocess(folder, output, named) for folder, named in zip(folders, speakers, strict=True)]
    start = "synthetic"
    if arguments.pretrain:
        start = str(output / "synthetic")
        todo.append(
            Stage("Built-in corpus", [EXPNET, "synthesize", "--output", str(made), *MADE], made / "manifest.parquet")
        )
        todo.append(train("synthetic", "expression.yaml", [made], output, *HIDE))
    todo.append(train("expression", "expression.yaml", stores, output, f"init={start}"))
    todo += [features(store, output) for store in stores]
    heard = f"data.features=[{','.join(str(features_of(store, output)) for store in stores)}]"
    todo.append(train("whisper", "expression.yaml", stores, output, heard, "data.silent_share=0.15"))
    todo.append(train("motion", "motion.yaml", stores, output, heard))
    todo.append(train("streaming", "streaming.yaml", stores, output, f"init={start}"))
    todo.append(train("pose", "pose.yaml", stores, output))
    code = run_stages(todo)
    if not code:
        if arguments.pretrain:
            pack(output / "synthetic", "expression-synthetic", f"the built-in corpus: {contents([made])}")
        pack(output / "expression", "expression", f"{contents(stores)}; before that, the built-in corpus")
        pack(output / "whisper", "expression-whisper", f"{contents(stores)}, with features of {ENCODER}")
        pack(output / "motion", "motion", f"{contents(stores)}, with features of {ENCODER}")
        pack(output / "streaming", "expression-streaming", f"{contents(stores)}; before that, the built-in corpus")
        pack(output / "pose", "pose", contents(stores))
    return code


if __name__ == "__main__":
    sys.exit(main())
