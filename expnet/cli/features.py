"""``expnet features``: compute speech features of a track store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from expnet.cli.arguments import Commands, add_command, print_progress
from expnet.cli.choices import ENCODER_ASSETS, SPEECH_ENCODERS
from expnet.errors import InputError
from expnet.io.overwriting import refuse_overwriting


def add_features_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet features``."""
    parser = add_command(
        commands, "features", run_features, "compute speech features of a track store with a pretrained speech encoder"
    )
    parser.add_argument("store", metavar="STORE", help="the track store")
    parser.add_argument(
        "--weights",
        metavar="PATH",
        help="your own weights: a folder as published; for Whisper also model.bin or a file",
    )
    parser.add_argument(
        "--encoder",
        choices=(*ENCODER_ASSETS, *SPEECH_ENCODERS),
        help="encoder that 'expnet assets fetch' gets; with --weights, the kind that they must be (default: "
        f"{ENCODER_ASSETS[0]}, with --weights any)",
    )
    parser.add_argument(
        "--layer",
        type=int,
        metavar="N",
        help="Transformer block whose output is used (default: the third of Whisper, the last of the others)",
    )
    parser.add_argument("--device", default="cpu", help="device to compute on: cpu, cuda, ... (default: cpu)")
    parser.add_argument("--output", metavar="DIR", help="folder for the features (default: STORE-ENCODER)")


def run_features(arguments: argparse.Namespace) -> None:
    """Compute the features."""
    from expnet.assets.registry import locate
    from expnet.audio.speech_encoders import load_speech_encoder
    from expnet.data.store.feature_cache import cache_features, default_folder
    from expnet.data.store.track_store import TrackStore

    store = TrackStore(arguments.store)
    name: str | None = arguments.encoder or (None if arguments.weights else ENCODER_ASSETS[0])
    kind = "whisper" if name in ENCODER_ASSETS else name
    if name in ENCODER_ASSETS:
        weights = locate(name, arguments.weights)
    elif arguments.weights is None:
        raise InputError(f"--encoder {name} needs --weights, the folder of the encoder.")
    else:
        weights = Path(arguments.weights)
    encoder = load_speech_encoder(weights, encoder=kind, layer=arguments.layer, device=arguments.device)
    folder = arguments.output or default_folder(arguments.store, name or encoder.source.encoder)
    refuse_overwriting(folder, (arguments.store, weights))

    def report(done: int, clips: int) -> None:
        print_progress(f"{done} of {clips} clips")

    print(cache_features(store, Path(folder), encoder, progress=report if sys.stderr.isatty() else None))
