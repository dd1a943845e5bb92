"""``expnet styles``: draw a preview of the head-motion styles."""

from __future__ import annotations

import argparse

from expnet.cli.animate import synthesize
from expnet.cli.arguments import Commands, add_command, add_pose_option, add_tracker_option


def add_styles_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet styles``."""
    parser = add_command(commands, "styles", run_styles, "draw a sheet of the head-motion styles")
    parser.add_argument("--output", required=True, metavar="FILE", help="the .png to write")
    parser.add_argument("--image", metavar="FILE", help="a portrait to show the styles on (default: an outline)")
    parser.add_argument("--audio", metavar="FILE", help="the speech to move to (default: the built-in voice)")
    add_pose_option(parser)
    add_tracker_option(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the head motion (default: 0)")


def run_styles(arguments: argparse.Namespace) -> None:
    """Draw the sheet."""
    from expnet.animate.animator import Animator
    from expnet.animate.style_sheet import PREVIEW_TEXT, style_sheet

    audio = arguments.audio or synthesize(PREVIEW_TEXT, "en")
    # Heads follow the mel in any case, so no speech encoder is opened.
    animator = Animator(expression="mel", pose=arguments.pose, tracker=arguments.tracker)
    print(style_sheet(animator, arguments.output, audio, image=arguments.image, seed=arguments.seed))
