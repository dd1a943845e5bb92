"""What is said in the clips of stores, as the CSV file that `accuracy.py --transcripts` reads.

Usage: python benchmarks/transcripts.py STORE ... [--manifest FILE.csv ...] > transcripts.csv

The text of a clip is that of a manifest (columns clip or file, text or transcript, and language or lang), or what its
name says in GRID (grid_s1_bbaf2n) and CREMA-D (cremad_1001_DFA_ANG_XX). Clips of other names, and those whose
transcript is cut off with an ellipsis, are left out, and counted on standard error. Transcripts of a recogniser
(`expnet` does none) contain errors, which misplace a few phonemes.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from expnet.data.store.track_store import TrackStore
from shared.transcripts import read_transcripts, text_from_name, voice_of


def main(argv: Sequence[str] | None = None) -> None:
    """Write the transcripts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", type=Path, nargs="+", metavar="STORE")
    parser.add_argument("--manifest", type=Path, nargs="*", default=[], metavar="FILE.csv")
    arguments = parser.parse_args(argv)
    given = read_transcripts(arguments.manifest)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["clip", "text", "language"])
    clips = found = 0
    for store in arguments.stores:
        for row in TrackStore(store).rows:
            named = text_from_name(row.clip_id)
            text, language = given.get(row.clip_id, (named, voice_of(row.language)))
            clips += 1
            if text:
                writer.writerow([row.clip_id, text, language])
                found += 1
    print(f"{found} of {clips} clips have a transcript", file=sys.stderr)


if __name__ == "__main__":
    main()
