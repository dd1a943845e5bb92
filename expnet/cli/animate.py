"""The options of ``expnet animate`` and ``expnet styles``, and what they run."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from expnet.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from expnet.animate.animator import Animator
    from expnet.animate.controls.controls import Controls

# As in expnet.face.emotions, which is not imported for --help.
_EMOTIONS = "neutral, happy, angry, sad, surprised, fear, disgusted, contempt"


def run_animate(arguments: argparse.Namespace) -> None:
    """Make one video, or those of a manifest."""
    from expnet.animate.controls.controls import Controls

    sources = [name for name in ("audio", "text", "idle", "batch") if getattr(arguments, name) is not None]
    if len(sources) != 1:
        raise InputError(
            "expnet animate needs either --audio FILE, --text 'words to say', --idle SECONDS or --batch FILE, one of "
            "them."
        )
    controls = Controls(**_given_controls(arguments))
    if arguments.batch is not None:
        if arguments.export:
            raise InputError("--export and --batch exclude each other: a row has one output.")
        _run_batch(arguments, controls)
        return
    if arguments.image is None:
        raise InputError("expnet animate needs --image FILE, the portrait.")
    animator = _animator(arguments)
    if arguments.idle is not None:
        print(animator.idle(arguments.image, arguments.idle, arguments.output, controls, exports=arguments.export))
        return
    speech = arguments.audio if arguments.text is None else speak(arguments.text, arguments.language)
    print(animator.animate(arguments.image, speech, arguments.output, controls, exports=arguments.export))


def run_styles(arguments: argparse.Namespace) -> None:
    """Draw the preview sheet of head-motion styles."""
    from expnet.animate.style_sheet import PREVIEW_TEXT, style_sheet

    audio = arguments.audio or speak(PREVIEW_TEXT, "en")
    print(style_sheet(_animator(arguments), arguments.output, audio, image=arguments.image, seed=arguments.seed))


def speak(text: str, language: str) -> NDArray[np.float32]:
    """Say a text with the built-in voice: (S,) at 16 kHz."""
    from expnet.audio.speech_synthesis import synthesize_speech

    return synthesize_speech(text, language=language).samples


def _run_batch(arguments: argparse.Namespace, controls: Controls) -> None:
    from expnet.animate.batch import animate_batch

    if arguments.image is not None:
        raise InputError("--image and --batch exclude each other: the manifest has a column image.")
    animate_batch(lambda: _animator(arguments), arguments.batch, arguments.output, controls)
    print(arguments.output)


def _animator(arguments: argparse.Namespace) -> Animator:
    from expnet.animate.animator import Animator

    return Animator(
        expression=getattr(arguments, "expression", None),
        pose=arguments.pose,
        speech_encoder=getattr(arguments, "speech_encoder", None),
        refiner=getattr(arguments, "refiner", None),
    )


def _given_controls(arguments: argparse.Namespace) -> dict[str, Any]:
    """The controls that the command line names, as values."""
    from expnet.animate.controls.controls import CONTROL_NAMES, parse_controls

    given = {name: getattr(arguments, name) for name in CONTROL_NAMES if getattr(arguments, name) is not None}
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    return {**given, **parse_controls(texts)}


def _scale(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of 0 or more, not {text}")
    return value


def add_animate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``expnet animate``; those of a control have its name and no default."""
    parser.add_argument("--image", metavar="FILE", help="the portrait: one face, any image file")
    parser.add_argument("--audio", metavar="FILE", help="the speech: any audio or video file with sound")
    parser.add_argument("--text", help="say these words with the built-in voice, instead of --audio")
    parser.add_argument("--language", default="en", help="language of --text (default: en)")
    parser.add_argument(
        "--idle", type=float, metavar="SECONDS", help="no sound: wait for so long, breathing and blinking, lips shut"
    )
    parser.add_argument(
        "--batch",
        metavar="FILE",
        help="a csv with the columns image, audio (or text, or idle), output if wanted, and any control by name",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE",
        help="the mp4 to write, or without a background a .webm or a folder of pictures; with --batch a folder, for "
        "results.csv too",
    )
    parser.add_argument(
        "--export",
        nargs="+",
        default=[],
        metavar="FILE",
        help="write the motion too: .npz, .csv (ARKit), .glb, .bvh, .json; see expnet convert for more formats",
    )
    parser.add_argument("--expression", metavar="RUN", help="expression weights: run folder, .ckpt or .safetensors")
    parser.add_argument("--pose", metavar="RUN", help="head-pose weights: run folder, .ckpt or .safetensors")
    parser.add_argument(
        "--speech-encoder", metavar="DIR", help="the speech network that the expression weights were trained on, if any"
    )
    parser.add_argument("--refiner", metavar="RUN", help="weights of a refiner of the mouth, likewise (default: none)")
    _add_motion_options(parser.add_argument_group("motion", "docs/controls.md has a section on each"))
    _add_picture_options(parser.add_argument_group("picture"))


def _add_motion_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, help="seed of head motion and blinks (default: 0)")
    group.add_argument(
        "--expression-scale", type=_scale, metavar="SCALE", help="how strong the face moves (default: 1.5)"
    )
    group.add_argument("--lip-scale", type=_scale, metavar="SCALE", help="how far the lips open (default: 1)")
    group.add_argument("--head-scale", type=_scale, metavar="SCALE", help="how strong the head moves (default: 1)")
    group.add_argument("--still", action="store_const", const=True, help="keep the head as it is in the portrait")
    group.add_argument(
        "--pose-style",
        metavar="NUMBER|CLIP",
        help="way of moving the head: a training speaker's number (see expnet styles), or a video to take it from "
        "(default: 0, average)",
    )
    group.add_argument("--reference-video", metavar="CLIP", help="a clip of anybody whose motion is taken over")
    group.add_argument(
        "--reference-parts", metavar="PARTS", help="what is taken from it: some of head,blink,expression"
    )
    group.add_argument("--blink", metavar="auto|none|RATE", help="blinks a minute (default: auto)")
    group.add_argument("--emotion", metavar="NAME", help=f"{_EMOTIONS} (default: neutral, which adds nothing)")
    group.add_argument("--level", type=int, metavar="1-3", help="strength of the emotion (default: 2)")


def _add_picture_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--gaze",
        nargs=2,
        type=float,
        metavar=("RIGHT", "UP"),
        help="degrees that the eyes look to the image's right and up of where they look in the portrait",
    )
    group.add_argument("--fps", type=float, metavar="RATE", help="frames a second (default: 25)")
    group.add_argument("--size", type=int, metavar="PIXELS", help="the longer side of the video (default: as it is)")
    view = group.add_mutually_exclusive_group()
    view.add_argument("--full", dest="view", action="store_const", const="full", help="the whole picture (default)")
    view.add_argument("--crop", dest="view", action="store_const", const="crop", help="a square around the head")
    group.add_argument(
        "--background", metavar="WHAT", help="keep, blur, a colour such as #20c060, or an image file (default: keep)"
    )


def add_styles_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``expnet styles``."""
    parser.add_argument("--output", required=True, metavar="FILE", help="the png to write")
    parser.add_argument("--image", metavar="FILE", help="a portrait to show them on (default: an outline of a face)")
    parser.add_argument("--audio", metavar="FILE", help="the speech to move to (default: the built-in voice)")
    parser.add_argument("--pose", metavar="RUN", help="head-pose weights: run folder, .ckpt or .safetensors")
    parser.add_argument("--seed", type=int, default=0, help="seed of head motion (default: 0)")
