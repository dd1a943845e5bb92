"""How often is the estimated audio offset of a clip right, and how reliable is its confidence?

    python benchmarks/sync_offset.py --in-sync STORE [STORE ...] --other STORE [STORE ...] [--limit 40]
        [--listener mel|features]

Clips are cut into pieces of several lengths. The audio of each piece is shifted by a random, known number of frames,
and the estimate is compared with it. Stores of synthetic speech (expnet synthesize) and of studio recordings that are
known to be in sync are used as they are. Clips of other stores have an unknown offset of their own: their true offset
is the planted one plus the one estimated on the whole clip, which measures how consistently it is found on a piece;
clips without an estimate at a confidence of .9 are left out. The first lines are for clips with the audio of another
clip, for which any confidence is too high.
"""

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from expnet.audio.alignment import FRAME_RATE
from expnet.data.preprocess.mouth_listener import MouthListener, best_listener, open_listener
from expnet.data.preprocess.sync_offset import LONGEST_OFFSET, OffsetEstimate, estimate_offset
from expnet.data.store.track import Track
from expnet.data.store.track_store import TrackStore
from shared.planted_offsets import LONGEST_PLANTED, shifted_pieces

SECONDS = (2, 3, 5, 8, 12, 18)
CERTAIN = 0.9
EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)


def read(store: Path, limit: int) -> list[Track]:
    """Clips of a store, evenly spaced in its list."""
    opened = TrackStore(store)
    step = max(1, len(opened) // limit)
    return [opened.read(row.clip_id) for row in opened.rows[::step][:limit]]


def own_offset(track: Track, listener: MouthListener) -> int | None:
    """Offset of a whole clip, or None where it is not certain."""
    estimate = estimate_offset(track, listener)
    return estimate.frames if estimate.confidence >= CERTAIN else None


class Tally:
    """Counts all estimates and the right ones."""

    def __init__(self) -> None:
        self.by_length: dict[tuple[str, int], list[bool]] = defaultdict(list)
        self.by_confidence: dict[tuple[str, int], list[tuple[float, bool]]] = defaultdict(list)
        self.by_exactness: dict[tuple[str, int], list[tuple[float, bool]]] = defaultdict(list)

    def add(self, group: str, seconds: int, estimate: OffsetEstimate, truth: int) -> None:
        """Count one estimate."""
        right = abs(estimate.frames - truth) <= 1
        self.by_length[group, seconds].append(right)
        exact = estimate.frames == truth
        for found, probability, answer in (
            (self.by_confidence, estimate.confidence, right),
            (self.by_exactness, estimate.exact, exact),
        ):
            interval = int(np.searchsorted(EDGES[1:-1], probability, side="right"))
            found[group, interval].append((probability, answer))

    def report(self) -> None:
        """Print all tables."""
        groups = sorted({group for group, _ in self.by_length})
        print("\nright to one frame, by length (pieces)")
        for group in groups:
            cells = [(seconds, self.by_length[group, seconds]) for seconds in SECONDS]
            print(
                f"{group:24s}",
                *(f"{seconds} s: {np.mean(right):.3f} ({len(right)})" for seconds, right in cells if right),
            )
        self._report_probabilities("confidence: its mean, and the share that is right to one frame", self.by_confidence)
        self._report_probabilities("probability of the exact frame: its mean, and the share", self.by_exactness)

    def _report_probabilities(self, title: str, found: dict[tuple[str, int], list[tuple[float, bool]]]) -> None:
        """Print the probabilities in intervals beside the share of estimates that is right."""
        print(f"\n{title} (pieces)")
        for group, interval in sorted(found):
            probability, right = np.mean(found[group, interval], axis=0)
            low, high = EDGES[interval : interval + 2]
            print(f"{group:24s} {low:.2f}-{high:.2f}: {probability:.3f} {right:.3f} ({len(found[group, interval])})")


def mismatched(tracks: list[Track], seconds: int, listener: MouthListener) -> list[float]:
    """Confidences for pieces with the audio of the next clip."""
    frames = seconds * FRAME_RATE
    usable = [track.window(0, frames) for track in tracks if track.frames >= frames]
    pairs = zip(usable, usable[1:] + usable[:1], strict=True)
    return [
        estimate_offset(replace(one, audio=other.audio), listener).confidence
        for one, other in pairs
        if one is not other
    ]


def main() -> None:
    """Score the stores and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-sync", type=Path, nargs="*", default=[], help="Stores that are known to be in sync.")
    parser.add_argument("--other", type=Path, nargs="*", default=[], help="Stores for which that is not known.")
    parser.add_argument("--limit", type=int, default=40, help="Clips of each store (default: 40).")
    parser.add_argument("--listener", choices=("mel", "features"), help="What the network hears (default: the best).")
    arguments = parser.parse_args()
    listener = open_listener(arguments.listener == "features") if arguments.listener else best_listener()
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    tally = Tally()
    print(f"lags of {-LONGEST_OFFSET} to {LONGEST_OFFSET} frames, planted offsets of up to {LONGEST_PLANTED}")
    for store in [*arguments.in_sync, *arguments.other]:
        tracks = read(store, arguments.limit)
        offsets = [0 if store in arguments.in_sync else own_offset(track, listener) for track in tracks]
        print(f"{store.name}: {sum(offset is not None for offset in offsets)} of {len(tracks)} clips taken")
        for track, own in zip(tracks, offsets, strict=True):
            for seconds in SECONDS if own is not None else ():
                for piece, planted in shifted_pieces(track, seconds * FRAME_RATE, generator):
                    tally.add(store.name, seconds, estimate_offset(piece, listener), own + planted)
        for seconds in (3, 8):
            wrong = mismatched(tracks, seconds, listener)
            if len(wrong) > 4:
                share = np.mean(np.array(wrong) >= 0.8)
                print(f"{store.name}: another clip's audio, {seconds} s: confidence .8 in {share:.2f} of {len(wrong)}")
    tally.report()


if __name__ == "__main__":
    main()
