"""What does a turn of the head do to the outline, the hair, the cheeks and the background?

Usage: python benchmarks/head_turns.py STORE [STORE ...] --output DIR [--clips ID ...] [--frames 10] [--degrees 15]

The straightest frame of each clip is the portrait, and is driven by the clip's own coefficients of frames in which the
head is turned by at least --degrees from there. The source videos must be available (expnet preprocess); clips without
such turns are left out with that reason. In each clip's crop at 256 px, rendered and real frames differ by so many grey
levels in three regions of the real frame: along the outline of the person above the chin (hair, ears, halo), in the
background there that the portrait's head had covered, and in the cheeks. "Detail" is the length of the gradient in
that background minus the real one's: a ghost of the hair raises it, a blur lowers it. "Stretch" is how far the texture
of the head is pulled apart, the 95th percentile over its pixels of the frame.

Prints a row for each clip and the means with 95 % intervals over people, and writes DIR/head_turns.md, DIR/scores.json
and DIR/head_turns.png: for each clip the frames turned farthest to both sides, real above rendered.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from expnet.data.store.track_store import TrackStore
from expnet.errors import ExpnetError, InputError
from expnet.face.morphable import load_face_model
from expnet.io.atomic import write_atomically
from expnet.io.markdown import markdown_table
from expnet.metrics.functional.statistics import bootstrap_interval
from expnet.render.reenactment import crop_frame
from shared.render_table import text
from shared.turn_scores import SCORES, open_turns, score_turns


def main(argv: Sequence[str] | None = None) -> None:
    """Score the clips and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+", help="Track stores whose source videos are available.")
    parser.add_argument("--output", type=Path, required=True, help="Folder for the table, the scores and the sheet.")
    parser.add_argument("--clips", nargs="*", metavar="ID", help="Score only these clips.")
    parser.add_argument("--frames", type=int, default=10, help="Turned frames per clip (%(default)s).")
    parser.add_argument("--degrees", type=float, default=15.0, help="Least turn from the portrait (%(default)s).")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, tiles = examine(arguments)
    if not rows:
        raise InputError("no clip could be scored; see the reasons above.")
    people = [row["speaker"] for row in rows]
    cells = [text(bootstrap_interval([row[key] for row in rows], groups=people)) for key in SCORES]
    written = markdown_table(["clips", "people", *SCORES.values()], [[str(len(rows)), str(len(set(people))), *cells]])
    write_atomically(arguments.output / "head_turns.md", written + "\n")
    write_atomically(arguments.output / "scores.json", json.dumps(rows, indent=1))
    Image.fromarray(np.concatenate(tiles)).save(arguments.output / "head_turns.png")
    print("\n" + written)


def examine(arguments: argparse.Namespace) -> tuple[list[dict], list[np.ndarray]]:
    """Scores and a pair of frames, real above rendered, of every clip that has turns."""
    rows, tiles = [], []
    for store in map(TrackStore, arguments.stores):
        model = load_face_model(store.face_model)
        for clip in store.rows:
            if arguments.clips and clip.clip_id not in arguments.clips:
                continue
            try:
                turns = open_turns(store.read(clip.clip_id), model, arguments.frames, arguments.degrees)
                scores, drawn = score_turns(turns, model)
            except ExpnetError as error:
                print(f"{clip.clip_id[:32]:32s} left out: {error}", flush=True)
                continue
            rows.append({"clip": clip.clip_id, "speaker": clip.speaker, **scores})
            real = [crop_frame(frame, turns.crop) for frame in turns.frames]
            tiles += [np.concatenate([frames[0], frames[-1]], axis=1) for frames in (real, drawn)]
            print(f"{clip.clip_id[:32]:32s} " + " ".join(f"{scores[key]:7.2f}" for key in SCORES), flush=True)
    return rows, tiles


if __name__ == "__main__":
    main()
