"""``expnet convert``: convert coefficients into files for other programs."""

from __future__ import annotations

import argparse
from dataclasses import replace

from expnet.cli.arguments import Commands, add_command, add_tracker_option
from expnet.cli.choices import EXPORT_FORMATS
from expnet.errors import InputError
from expnet.io.overwriting import refuse_overwriting


def add_convert_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet convert``."""
    parser = add_command(commands, "convert", run_convert, "convert coefficients into files for other programs")
    parser.add_argument(
        "coefficients", metavar="FILE", help=".npz of expnet animate --export, or .mat of SadTalker, PIRender, Deep3D"
    )
    parser.add_argument("--to", required=True, choices=EXPORT_FORMATS, help="the format; see docs/guides/export.md")
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--face-model", metavar="FILE", help="your BFM_model_front.mat, if either side uses the Basel face model"
    )
    parser.add_argument("--fps", type=float, default=25.0, help="frames per second of a .mat file (default: 25)")
    parser.add_argument(
        "--rest",
        default="clip",
        choices=["clip", "mean face"],
        help="resting face of ARKit weights: the clip's own, or the face model's mean (default: clip)",
    )
    parser.add_argument("--image", metavar="FILE", help="with --to gltf: the portrait, used as texture of the mesh")
    add_tracker_option(parser)


def run_convert(arguments: argparse.Namespace) -> None:
    """Convert the file."""
    from expnet.face.morphable import load_face_model
    from expnet.face.tracker import open_tracker
    from expnet.formats.convert import MotionFileSettings, check_motion_file, read_motion, write_motion
    from expnet.render.portrait import open_portrait

    check_motion_file(arguments.output, arguments.to)
    refuse_overwriting(arguments.output, (arguments.coefficients, arguments.face_model, arguments.image))
    clip = read_motion(arguments.coefficients, fps=arguments.fps)
    model = None if arguments.face_model is None else load_face_model(arguments.face_model)
    settings = MotionFileSettings(face_model=model, rest=arguments.rest)
    if arguments.image is not None:
        if arguments.to != "gltf":
            raise InputError("--image is the texture of a glTF mesh; leave it out, or convert --to gltf.")
        portrait = open_portrait(
            arguments.image, settings.model_of(clip.coefficients), tracker=open_tracker(arguments.tracker)
        )
        settings = replace(settings, portrait=portrait.image, fit=portrait.fit)
    print(write_motion(clip, arguments.output, arguments.to, settings))
