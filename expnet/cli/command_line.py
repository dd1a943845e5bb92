"""The command line: ``expnet COMMAND``, one function for each command, see ``expnet --help``.

A command's code is imported when that command runs, so ``expnet --help`` costs nothing.
Exit codes: 0 done, 1 failed, 2 wrong usage or input.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from expnet import __version__
from expnet.cli.animate import add_animate_options, add_styles_options, run_animate, run_styles
from expnet.cli.ui import add_ui_options, run_ui
from expnet.errors import ExpnetError, InputError, MissingAssetError

# As in expnet.data.corpora, which is not imported for --help.
_CORPORA = ("folder", "mat", "hdtf", "lrs3", "mead")
# As in expnet.audio.speech_encoder, likewise.
_ENCODERS = ("hubert", "wavlm", "wav2vec2")
# As in expnet.formats.convert, likewise.
_EXPORT_FORMATS = ("npz", "arkit", "gltf", "bvh", "json", "sadtalker", "sadtalker-first", "pirender")


def _preprocess(arguments: argparse.Namespace) -> None:
    from expnet.data.preprocess.engines import open_engine
    from expnet.data.preprocess.sync_offset import OffsetPolicy
    from expnet.data.preprocess.videos import preprocess

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


def _synthesize(arguments: argparse.Namespace) -> None:
    from expnet.data.synthetic.corpus import synthesize

    synthesize(
        arguments.output,
        clips=arguments.clips,
        seed=arguments.seed,
        languages=tuple(arguments.languages.split(",")),
        speakers=arguments.speakers,
        workers=arguments.workers,
    )
    print(arguments.output)


def _features(arguments: argparse.Namespace) -> None:
    from expnet.audio.speech_encoder import SpeechEncoder
    from expnet.data.store.feature_cache import cache_features, default_folder
    from expnet.data.store.track_store import TrackStore

    store = TrackStore(arguments.store)
    encoder = SpeechEncoder(
        arguments.weights, encoder=arguments.encoder, layer=arguments.layer, device=arguments.device
    )
    folder = arguments.output or default_folder(arguments.store, encoder.source.encoder)

    def report(done: int, clips: int) -> None:
        print(f"\r{done} of {clips} clips", end="", file=sys.stderr)

    print(cache_features(store, Path(folder), encoder, progress=report if sys.stderr.isatty() else None))


def _export(arguments: argparse.Namespace) -> None:
    from expnet.export.model_folder import export_model

    print(export_model(arguments.checkpoint, arguments.output, task=arguments.task, onnx=arguments.onnx))


def _convert(arguments: argparse.Namespace) -> None:
    from expnet.face.morphable import load_face_model
    from expnet.formats.convert import MotionFileSettings, check_motion_file, read_motion, write_motion
    from expnet.render.portrait import open_portrait

    check_motion_file(arguments.output, arguments.to)
    clip = read_motion(arguments.coefficients, fps=arguments.fps)
    model = None if arguments.face_model is None else load_face_model(arguments.face_model)
    settings = MotionFileSettings(face_model=model, rest=arguments.rest)
    if arguments.image is not None:
        if arguments.to != "gltf":
            raise InputError("--image is the picture that a glTF mesh wears; leave it out, or convert --to gltf.")
        portrait = open_portrait(arguments.image, settings.model_of(clip.coefficients))
        settings = replace(settings, portrait=portrait.image, fit=portrait.fit)
    print(write_motion(clip, arguments.output, arguments.to, settings))


def _replay(arguments: argparse.Namespace) -> None:
    from expnet.training.replay import Reproducer, replay

    step = Reproducer.load(arguments.step)
    about = step.about
    print(f"{about['reason']} at step {about['step']} on {', '.join(step.batch.clip_ids)}")
    print(f"then:  loss {about['loss']:g}, gradient norm {about['gradient_norm']:g}, on {about['device']}")
    print(f"again: {replay(step, accelerator=arguments.accelerator).describe()}")


def _doctor(_: argparse.Namespace) -> None:
    from expnet.doctor.examine import examine

    report, healthy = examine()
    print(report)
    if not healthy:
        raise InputError("This environment cannot run everything; each line marked 'missing' says what mends it.")


def _assets_list(_: argparse.Namespace) -> None:
    from expnet.assets.registry import ASSETS, folders, locate

    print(f"Searched: {', '.join(str(folder) for folder in folders())}; EXPNET_ASSETS names another folder.")
    for asset in ASSETS.values():
        try:
            place = f"here: {locate(asset.name)}"
        except MissingAssetError:
            place = f"not here: expnet assets fetch {asset.name}"
        size = f"{asset.size / 1e6:.1f} MB" if asset.size else "size unknown"
        print(f"\n{asset.name}  {place}\n  for       {asset.purpose}\n  file      {asset.file}, {size}")
        print(f"  sha256    {asset.sha256}\n  licence   {asset.licence}")
        for address in asset.addresses:
            print(f"  address   {address}")


def _assets_fetch(arguments: argparse.Namespace) -> None:
    from expnet.assets.registry import fetch, known

    size = known(arguments.name).size

    def report(done: int) -> None:
        total = f" of {size / 1e6:.1f}" if size else ""
        print(f"\r{done / 1e6:.1f}{total} MB", end="", file=sys.stderr)

    path = fetch(arguments.name, progress=report if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(path)


def _assets_verify(arguments: argparse.Namespace) -> None:
    from expnet.assets.registry import ASSETS, known, locate, verify

    for name in [arguments.name] if arguments.name else ASSETS:
        try:
            path = locate(name)
        except MissingAssetError:
            if arguments.name:
                raise
            print(f"{name:16s}not here")
            continue
        verify(path, known(name))
        print(f"{name:16s}ok  {path}")


def _compare(arguments: argparse.Namespace) -> None:
    from expnet.evaluation.report.compare import compare

    print(compare(arguments.results, arguments.output))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="expnet",
        description="Audio-driven single-image talking faces: train, benchmark, animate.",
        epilog="expnet train, evaluate and ablate take configuration files and key=value overrides, as train.py and "
        "evaluate.py do: expnet train configs/expression.yaml data.store=tracks. Add --help for all keys.",
    )
    parser.add_argument("--version", action="version", version=f"expnet {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log what is being done")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    add_animate_options(command("animate", run_animate, "make a portrait speak: image + audio -> mp4"))
    add_styles_options(command("styles", run_styles, "draw a sheet of the head-motion styles"))
    add_ui_options(command("ui", run_ui, "open a page on this machine to make videos with"))
    _add_preprocess_options(command("preprocess", _preprocess, "turn videos into a track store"))
    _add_synthesize_options(
        command("synthesize", _synthesize, "make the built-in corpus: speech, faces and head motion by rule")
    )
    _add_features_options(
        command("features", _features, "compute speech features of a track store with weights of your own")
    )
    _add_compare_options(command("compare", _compare, "put several result files of one protocol into one table"))
    _add_assets(commands)
    _add_export_options(
        command("export", _export, "turn a checkpoint into a folder to share: weights, configuration, model card")
    )
    _add_convert_options(command("convert", _convert, "turn coefficients into files for other programs"))
    _add_replay_options(
        command("replay", _replay, "run the training step again on which a run stopped, and say where it begins")
    )
    command("doctor", _doctor, "check this environment: versions, codecs, tracker, speech, weights")
    for name, text in (
        ("train", "train a network"),
        ("evaluate", "score models or videos"),
        ("ablate", "train variants over several seeds and compare them"),
    ):
        # Parsed by the command itself (files and key=value), listed here for --help.
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _add_preprocess_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", metavar="VIDEOS", help="a folder of videos (searched through), or one video")
    parser.add_argument(
        "--output", required=True, metavar="STORE", help="the track store to write or go on with: folder or URL"
    )
    parser.add_argument("--corpus", default="folder", choices=_CORPORA, help="layout of VIDEOS (default: folder)")
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--engine", default="local", choices=["local", "ray"], help="processes of this machine, or a Ray cluster"
    )
    parser.add_argument(
        "--ray-address", metavar="ADDRESS", help="the cluster: auto, host:port, ray://host:port (default: a local one)"
    )
    parser.add_argument("--speakers", metavar="FILE", help="a csv with the columns file and speaker")
    parser.add_argument("--face-model", default="mediapipe468", help="the built-in one, or a BFM or FLAME file")
    parser.add_argument("--tracker", default="mediapipe", help="mediapipe, or the path of a Face Landmarker .task file")
    parser.add_argument("--min-seconds", type=float, default=1.0, help="drop shots shorter than this (default: 1)")
    parser.add_argument(
        "--offset",
        default="keep",
        choices=["keep", "drop", "correct"],
        help="what to do with clips whose sound is early or late; the estimate is in the manifest (default: keep)",
    )
    parser.add_argument(
        "--max-offset", type=int, default=1, metavar="N", help="offset in frames that is left alone (default: 1)"
    )
    parser.add_argument(
        "--ignore-splits", action="store_true", help="do not take over the corpus's own splits: divide by speaker"
    )


def _add_synthesize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="STORE", help="the track store to write")
    parser.add_argument("--clips", type=_positive, required=True, metavar="N", help="number of clips")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same store (default: 0)")
    parser.add_argument("--languages", default="en,de,fr,es,it,ru", help="comma-separated (default: %(default)s)")
    parser.add_argument("--speakers", type=_positive, metavar="N", help="number of speakers (default: by clips)")
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes (default: 1)")


def _add_features_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", help="the track store")
    parser.add_argument(
        "--weights", required=True, metavar="DIR", help="folder of the network: config.json and model.safetensors"
    )
    parser.add_argument("--encoder", choices=_ENCODERS, help="what the network has to be (default: any of these)")
    parser.add_argument(
        "--layer", type=int, metavar="N", help="Transformer block whose output is taken (default: last)"
    )
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, ... (default: cpu)")
    parser.add_argument("--output", metavar="DIR", help="where they go (default: STORE-ENCODER)")


def _add_compare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="results.json files, or the folders they are in")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the table and its page are written")


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", required=True, metavar="FILE", help="run folder, .ckpt, .safetensors, or a file of SadTalker's"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--task", choices=["expression", "pose"], help="which network, of a file that holds both")
    parser.add_argument("--onnx", action="store_true", help="write ONNX graphs too, and compare them with the network")


def _add_convert_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "coefficients", metavar="FILE", help=".npz of expnet animate --export, or .mat of SadTalker, PIRender, Deep3D"
    )
    parser.add_argument("--to", required=True, choices=_EXPORT_FORMATS, help="the format; docs/export.md has them all")
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument(
        "--face-model", metavar="FILE", help="your BFM_model_front.mat, where either side speaks the Basel face model"
    )
    parser.add_argument("--fps", type=float, default=25.0, help="frames a second of a .mat file (default: 25)")
    parser.add_argument(
        "--rest",
        default="clip",
        choices=["clip", "mean face"],
        help="what ARKit weights count from: the clip's own resting face, or the face model's (default: clip)",
    )
    parser.add_argument("--image", metavar="FILE", help="with --to gltf: the portrait for the mesh to wear")


def _add_replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("step", metavar="FILE", help="RUN/failure/step_NUMBER.safetensors")
    parser.add_argument("--accelerator", default="auto", metavar="NAME", help="auto, cpu or gpu (default: %(default)s)")


def _add_assets(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "the weight files that some metrics need: where they are, what they are, how to get them"
    parser = commands.add_parser("assets", help=text, description=text)
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|verify")
    actions.add_parser("list", help="addresses, checksums, licences, where found").set_defaults(run=_assets_list)
    fetch = actions.add_parser("fetch", help="download one and check it")
    fetch.add_argument("name", metavar="NAME", help="as 'expnet assets list' calls it")
    fetch.set_defaults(run=_assets_fetch)
    verify = actions.add_parser("verify", help="check one, or all that are here, against their checksums")
    verify.add_argument("name", metavar="NAME", nargs="?", help="as 'expnet assets list' calls it")
    verify.set_defaults(run=_assets_verify)


def _delegate(command: str, arguments: Sequence[str]) -> int | None:
    if command == "train":
        from expnet.training.main import main as run
    elif command == "ablate":
        from expnet.training.ablate import main as run
    else:
        from expnet.evaluation.main import main as run
    return run(list(arguments))


def guarded(run: Callable[[], int | None]) -> int:
    """Run a command; turn a user's mistake into one sentence on stderr and its exit code."""
    try:
        return run() or 0
    except ExpnetError as error:
        print(f"expnet: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("expnet: stopped.", file=sys.stderr)
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``expnet``.

    Args:
        argv: the arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("train", "evaluate", "ablate"):
        return guarded(lambda: _delegate(arguments[0], arguments[1:]))
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if parsed.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    # The networks are small: two threads beat many, and leave the cores to others.
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    return guarded(lambda: parsed.run(parsed))
