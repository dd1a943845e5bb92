"""``expnet animate``: make a portrait speak."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from expnet.cli.arguments import (
    WEIGHTS,
    Commands,
    add_command,
    add_network_options,
    add_tracker_option,
    positive,
    scale,
)
from expnet.cli.choices import EMOTIONS
from expnet.config.parts import allow_named, part_names
from expnet.errors import InputError
from expnet.models.packaged_weights import MOTIONS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from expnet.animate.animator import Animator
    from expnet.animate.controls.controls import Controls


def add_animate_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet animate``."""
    add_animate_options(
        add_command(commands, "animate", run_animate, "make a portrait speak: image + audio -> mp4"),
    )


def run_animate(arguments: argparse.Namespace) -> None:
    """Make one video, or those of a manifest."""
    from expnet.animate.controls.controls import Controls

    sources = [name for name in ("audio", "text", "idle", "batch") if getattr(arguments, name) is not None]
    if len(sources) != 1:
        raise InputError(
            "expnet animate needs either --audio FILE, --text 'words to say', --idle SECONDS or --batch FILE, exactly "
            "one of them."
        )
    controls = Controls(**_given_controls(arguments))
    if arguments.seeds is not None and (arguments.idle is not None or arguments.batch is not None or arguments.export):
        raise InputError("--seeds makes one video of one recording: leave --idle, --batch and --export out.")
    if arguments.batch is not None:
        _run_batch(arguments, controls)
        return
    if arguments.image is None:
        raise InputError("expnet animate needs --image FILE, the portrait.")
    animator = _open_animator(arguments)
    if arguments.idle is not None:
        print(animator.idle(arguments.image, arguments.idle, arguments.output, controls, exports=arguments.export))
        return
    speech = arguments.audio if arguments.text is None else synthesize(arguments.text, arguments.language)
    if arguments.seeds is not None:
        from expnet.animate.seed_sheet import seed_sheet

        print(seed_sheet(animator, arguments.image, speech, arguments.output, controls, seeds=arguments.seeds))
        return
    print(animator.animate(arguments.image, speech, arguments.output, controls, exports=arguments.export))


def synthesize(text: str, language: str) -> NDArray[np.float32]:
    """Synthesize speech with the built-in voice: (S,) at 16 kHz."""
    from expnet.audio.speech_synthesis import synthesize_speech

    return synthesize_speech(text, language=language).samples


def _run_batch(arguments: argparse.Namespace, controls: Controls) -> None:
    from expnet.animate.batch import animate_batch

    if arguments.export:
        raise InputError("--export and --batch exclude each other: a row has one output.")
    if arguments.image is not None:
        raise InputError("--image and --batch exclude each other: the manifest has a column image.")
    renderer = "mesh" if arguments.renderer == "mesh" else f"{arguments.renderer} {arguments.size or ''}".strip()
    animate_batch(lambda: _open_animator(arguments), arguments.batch, arguments.output, controls, renderer=renderer)
    print(arguments.output)


def _open_animator(arguments: argparse.Namespace) -> Animator:
    from expnet.animate.animator import Animator

    allow_named(arguments.renderer)
    return Animator(
        motion=arguments.motion,
        expression=arguments.expression,
        pose=arguments.pose,
        speech_encoder=arguments.speech_encoder,
        refiner=arguments.refiner,
        face_model=arguments.face_model,
        renderer=arguments.renderer,
        renderer_size=arguments.size if arguments.renderer == "sadtalker" else None,
        tracker=arguments.tracker,
    )


def _given_controls(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the controls that were given on the command line."""
    from expnet.animate.controls.controls import CONTROL_NAMES, parse_controls

    given = {name: getattr(arguments, name) for name in CONTROL_NAMES if getattr(arguments, name) is not None}
    if given.get("motion") not in MOTIONS:  # weights belong to the animator
        given.pop("motion", None)
    if arguments.renderer == "sadtalker":  # --size then is that of the networks
        given.pop("size", None)
    texts = {name: value for name, value in given.items() if isinstance(value, str)}
    return {**given, **parse_controls(texts)}


def add_animate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``expnet animate``; the option of a control has its name and no default."""
    parser.add_argument("--image", metavar="FILE", help="the portrait: an image of one face")
    parser.add_argument("--audio", metavar="FILE", help="the speech: an audio file, or a video file with audio")
    parser.add_argument("--text", help="synthesize these words with the built-in voice, instead of --audio")
    parser.add_argument("--language", default="en", help="language of --text (default: en)")
    parser.add_argument(
        "--idle",
        type=float,
        metavar="SECONDS",
        help="make a silent video of this length: the portrait breathes and blinks, its lips closed",
    )
    parser.add_argument(
        "--batch",
        metavar="FILE",
        help="a csv with the columns image, audio (or text, or idle), optionally output, and any control by name",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE",
        help="the .mp4 to write; without the background a .webm or a folder of images; with --batch a folder for the "
        "videos and results.csv",
    )
    parser.add_argument(
        "--export",
        nargs="+",
        default=[],
        metavar="FILE",
        help="also write the motion: .npz, .csv (ARKit), .glb, .bvh, .json; see expnet convert for more formats",
    )
    add_network_options(parser)
    add_tracker_option(parser)
    parser.add_argument("--refiner", metavar="RUN", help=f"weights of a mouth refiner: {WEIGHTS} (default: none)")
    parser.add_argument(
        "--renderer",
        default="mesh",
        metavar="NAME|RUN",
        help=f"{', '.join(part_names('renderers'))}, MODULE:CLASS of your own, or a trained one: the "
        "mesh needs no weights, sadtalker those of 'expnet assets "
        "fetch sadtalker', a trained one is the run folder, .ckpt or .safetensors of configs/renderer.yaml (default: "
        "mesh)",
    )
    _add_motion_options(parser.add_argument_group("motion", "docs/guides/controls.md describes each control"))
    _add_video_options(parser.add_argument_group("video"))


def _add_motion_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seed", type=int, help="seed of head motion and blinks, and of the face where it is sampled (default: 0)"
    )
    group.add_argument(
        "--seeds",
        type=positive,
        metavar="N",
        help="show N performances side by side in one .mp4, 2 to 16, with the seeds from --seed on",
    )
    group.add_argument(
        "--expression-scale",
        type=scale,
        metavar="SCALE",
        help="strength of the facial motion (default: 1.5 regressed, 1 sampled)",
    )
    group.add_argument("--lip-scale", type=scale, metavar="SCALE", help="how far the lips open (default: 1)")
    group.add_argument("--head-scale", type=scale, metavar="SCALE", help="strength of the head motion (default: 1)")
    group.add_argument("--still", action="store_const", const=True, help="keep the head as it is in the portrait")
    group.add_argument(
        "--pose-style",
        metavar="NUMBER|CLIP",
        help="style of the head motion: a training speaker's number (see expnet styles), or a video to measure it in "
        "(default: 0, the average speaker)",
    )
    group.add_argument("--reference-video", metavar="CLIP", help="a clip of any person whose motion is used")
    group.add_argument("--reference-parts", metavar="PARTS", help="what is taken from it: any of head,blink,expression")
    group.add_argument("--blink", metavar="auto|none|RATE", help="blinks a minute (default: auto)")
    group.add_argument(
        "--emotion", metavar="NAME", help=f"{', '.join(EMOTIONS)} (default: neutral, which adds nothing)"
    )
    group.add_argument("--level", type=int, metavar="1-3", help="strength of the emotion (default: 2)")


def _add_video_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--gaze",
        nargs=2,
        type=float,
        metavar=("RIGHT", "UP"),
        help="degrees by which the eyes turn to the image's right and upwards, relative to the portrait",
    )
    group.add_argument("--fps", type=float, metavar="RATE", help="frames per second (default: 25)")
    group.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="longer side of the video (default: that of the portrait); with --renderer sadtalker the side of the "
        "square that its networks draw, 256 or 512 (default: 256)",
    )
    view = group.add_mutually_exclusive_group()
    view.add_argument("--full", dest="view", action="store_const", const="full", help="the whole image (default)")
    view.add_argument("--crop", dest="view", action="store_const", const="crop", help="a square around the head")
    group.add_argument(
        "--background", metavar="WHAT", help="keep, blur, a colour such as #20c060, or an image file (default: keep)"
    )
