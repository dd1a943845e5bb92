"""``expnet preprocess``: turn videos into a track store."""

from __future__ import annotations

import argparse

from expnet.cli.arguments import Commands, add_command, add_tracker_option, positive
from expnet.config.parts import allow_named, part_names


def add_preprocess_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet preprocess``."""
    parser = add_command(commands, "preprocess", run_preprocess, "turn videos into a track store")
    parser.add_argument("videos", metavar="VIDEOS", help="a folder of videos, searched recursively, or one video")
    parser.add_argument(
        "--output", required=True, metavar="STORE", help="the track store to write or continue: a folder or URL"
    )
    parser.add_argument(
        "--corpus",
        default="folder",
        metavar="NAME",
        help=f"layout of VIDEOS: {', '.join(part_names('corpora'))}, or MODULE:FUNCTION of your own (default: folder)",
    )
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--engine", default="local", choices=["local", "ray"], help="processes on this machine, or a Ray cluster"
    )
    parser.add_argument(
        "--ray-address", metavar="ADDRESS", help="the cluster: auto, host:port, ray://host:port (default: a local one)"
    )
    parser.add_argument("--speakers", metavar="FILE", help="a csv with the columns file and speaker")
    parser.add_argument(
        "--face-model",
        default="mediapipe468",
        help="the built-in one, a BFM or FLAME file, or bfm-deep3d, Basel coefficients that a network regresses",
    )
    add_tracker_option(parser)
    parser.add_argument("--min-seconds", type=float, default=1.0, help="drop shots shorter than this (default: 1)")
    parser.add_argument(
        "--offset",
        default="keep",
        choices=["keep", "drop", "correct"],
        help="what to do with clips whose audio is early or late; the manifest has the estimate (default: keep)",
    )
    parser.add_argument(
        "--max-offset", type=int, default=1, metavar="N", help="offset in frames that is tolerated (default: 1)"
    )
    parser.add_argument(
        "--ignore-splits", action="store_true", help="split by speaker instead of using the corpus's own splits"
    )


def run_preprocess(arguments: argparse.Namespace) -> None:
    """Preprocess the videos."""
    from expnet.data.preprocess.engines import open_engine
    from expnet.data.preprocess.sync_offset import OffsetPolicy
    from expnet.data.preprocess.videos import preprocess

    allow_named(arguments.corpus)
    summary = preprocess(
        arguments.videos,
        arguments.output,
        corpus=arguments.corpus,
        engine=open_engine(arguments.engine, arguments.workers, arguments.ray_address),
        speakers=arguments.speakers,
        tracker=arguments.tracker,
        face_model=arguments.face_model,
        min_seconds=arguments.min_seconds,
        offset=OffsetPolicy(arguments.offset, arguments.max_offset),
        official_splits=not arguments.ignore_splits,
    )
    print(summary)
