"""``expnet synchronise``: estimate the audio offsets of a track store anew."""

from __future__ import annotations

import argparse
import sys

from expnet.cli.arguments import Commands, add_command, print_progress
from expnet.io.overwriting import refuse_overwriting


def add_synchronise_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet synchronise``."""
    parser = add_command(
        commands, "synchronise", run_synchronise, "estimate the audio offsets of a track store anew, without tracking"
    )
    parser.add_argument("store", metavar="STORE", help="the track store")
    parser.add_argument("--output", required=True, metavar="STORE", help="the track store to write: a folder or URL")
    parser.add_argument(
        "--offset",
        default="correct",
        choices=["drop", "correct"],
        help="what to do with clips whose audio is early or late (default: correct)",
    )
    parser.add_argument(
        "--max-offset",
        type=int,
        default=1,
        metavar="N",
        help="offset in frames that is tolerated; 0 corrects single frames, too (default: 1)",
    )


def run_synchronise(arguments: argparse.Namespace) -> None:
    """Synchronise the store."""
    from expnet.data.preprocess.resynchronise import resynchronise
    from expnet.data.preprocess.sync_offset import OffsetPolicy
    from expnet.data.store.track_store import TrackStore

    refuse_overwriting(arguments.output, (arguments.store,))
    summary = resynchronise(
        TrackStore(arguments.store),
        arguments.output,
        OffsetPolicy(arguments.offset, arguments.max_offset),
        progress=(lambda done, all_clips: print_progress(f"{done} of {all_clips} clips"))
        if sys.stderr.isatty()
        else None,
    )
    print(summary)
