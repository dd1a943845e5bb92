"""Does the refiner improve the renderer on unseen speakers? Folds by speaker, paired with the plain renderer.

Usage: python benchmarks/refiner.py --scored STORE [--also STORE ...] --output DIR [--folds 3] [KEY=VALUE ...]

The speakers of --scored are divided into folds. For each fold, a refiner (configs/refiner.yaml; KEY=VALUE changes it)
is trained on all other speakers and on the clips of --also. The fold's speakers are then scored as in
benchmarks/render_quality.py, and DIR/table.md has the same columns. --same names people who appear in the stores under
two names. The training pairs of all folds are prepared once, in DIR/crops. An interrupted command resumes with the fold
and the clip at which it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from expnet.data.store.track_store import TrackStore
from shared.folds import check_names, divide
from shared.left_out_networks import train_once
from shared.render_table import examine_all, table


def other_names(people: set[str], same: Sequence[str]) -> set[str]:
    """The people under all of their names, which are given as ``A=B``."""
    pairs = [pair.split("=") for pair in same]
    return people | {b for a, b in pairs if a in people} | {a for a, b in pairs if b in people}


def main(argv: Sequence[str] | None = None) -> None:
    """Train a refiner for each fold, score its speakers, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scored", type=Path, required=True, help="Store whose speakers are scored, each once.")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="Further stores to train on.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for runs, scores, pictures and table.md.")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", metavar="FOLD", help="Run only these folds, counted from 0.")
    parser.add_argument("--same", nargs="*", default=[], metavar="A=B", help="Two names of one person.")
    parser.add_argument("--frames", type=int, default=40, help="Frames per clip, in addition to its first one.")
    parser.add_argument("--lpips", type=Path, help="Weights of AlexNet, if they are not where expnet looks.")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Overrides of the training.")
    arguments = parser.parse_args(argv)
    stores = [arguments.scored, *arguments.also]
    check_names(stores)
    speakers = {row.speaker for row in TrackStore(arguments.scored).rows}
    rows: list[dict] = []
    for fold, people in enumerate(divide(speakers, arguments.folds)):
        if arguments.only and fold not in arguments.only:
            continue
        overrides = [f"data.crops={arguments.output / 'crops'}", *arguments.overrides]
        unseen = other_names(people, arguments.same)
        run = train_once("refiner.yaml", f"fold{fold}", stores, unseen, arguments.output, overrides)
        clips = [row.clip_id for row in TrackStore(arguments.scored).rows if row.speaker in people]
        rows += examine_all(
            argparse.Namespace(
                store=arguments.scored,
                output=arguments.output,
                frames=arguments.frames,
                clips=clips,
                lpips=arguments.lpips,
                refiner=run,
            )
        )
    written = table(rows)
    (arguments.output / "table.md").write_text(written, encoding="utf-8")
    print("\n" + written)


if __name__ == "__main__":
    main()
