"""What the commands share: how one is registered, and types and options that several of them use."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable

from expnet.cli.choices import FACE_MODEL
from expnet.models.packaged_weights import DEFAULT_MOTION

Commands = argparse._SubParsersAction
"""The commands of a parser, to which each module of this package adds its own."""
WEIGHTS = "run folder, .ckpt or .safetensors"


def add_command(
    commands: Commands[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: Commands of the parser.
        name: Name of the command.
        run: Called with the parsed arguments.
        text: What it does, for both help pages.

    Returns:
        The parser of its options.
    """
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def positive(text: str) -> int:
    """Parse a whole number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def scale(text: str) -> float:
    """Parse a finite number of 0 or more."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of 0 or more, not {text}")
    return value


def add_pose_option(parser: argparse.ArgumentParser) -> None:
    """Add the option for the head-pose network."""
    parser.add_argument("--pose", metavar="RUN", help=f"head-pose weights: {WEIGHTS}")


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the networks that move a portrait."""
    parser.add_argument(
        "--motion",
        metavar="KIND|RUN",
        help="regressed, the average of all plausible motions, or sampled, another performance of face, head and lids "
        f"for each seed; or motion weights: {WEIGHTS} (default: {DEFAULT_MOTION})",
    )
    parser.add_argument(
        "--expression",
        metavar="RUN",
        help=f"expression weights: {WEIGHTS}; or built-in ones, whisper or mel (default: whisper where its speech "
        "encoder was fetched, otherwise mel)",
    )
    add_pose_option(parser)
    parser.add_argument(
        "--speech-encoder",
        metavar="PATH",
        help="the speech encoder that the expression or motion weights were trained with (default: the fetched one)",
    )
    parser.add_argument(
        "--face-model",
        default=FACE_MODEL,
        metavar="NAME|FILE",
        help="the face model that the weights were trained with: the built-in one, bfm-deep3d, or a BFM or FLAME file "
        f"(default: {FACE_MODEL})",
    )


def add_tracker_option(parser: argparse.ArgumentParser) -> None:
    """Add the option for the face tracker."""
    parser.add_argument(
        "--tracker",
        default="mediapipe",
        metavar="NAME|FILE",
        help="mediapipe, the built-in models, run by the mediapipe that holds them or otherwise by LiteRT; litert, the "
        "same models run by LiteRT; or a Face Landmarker .task file for the installed mediapipe (default: mediapipe)",
    )


def print_progress(text: str) -> None:
    """Overwrite the current line of a terminal's stderr."""
    print(f"\r{text}", end="", file=sys.stderr)
