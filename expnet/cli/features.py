"""``expnet features``: compute speech features of a track store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from expnet.cli.arguments import Commands, add_command, print_progress
from expnet.cli.choices import SPEECH_ENCODERS
from expnet.io.overwriting import refuse_overwriting


def add_features_command(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``expnet features``."""
    parser = add_command(
        commands, "features", run_features, "compute speech features of a track store with weights of your own"
    )
    parser.add_argument("store", metavar="STORE", help="the track store")
    parser.add_argument(
        "--weights", required=True, metavar="DIR", help="folder of the encoder: config.json and model.safetensors"
    )
    parser.add_argument("--encoder", choices=SPEECH_ENCODERS, help="kind that the encoder must be (default: any)")
    parser.add_argument(
        "--layer", type=int, metavar="N", help="Transformer block whose output is used (default: the last)"
    )
    parser.add_argument("--device", default="cpu", help="device to compute on: cpu, cuda, ... (default: cpu)")
    parser.add_argument("--output", metavar="DIR", help="folder for the features (default: STORE-ENCODER)")


def run_features(arguments: argparse.Namespace) -> None:
    """Compute the features."""
    from expnet.audio.speech_encoders import load_speech_encoder
    from expnet.data.store.feature_cache import cache_features, default_folder
    from expnet.data.store.track_store import TrackStore

    store = TrackStore(arguments.store)
    encoder = load_speech_encoder(
        arguments.weights, encoder=arguments.encoder, layer=arguments.layer, device=arguments.device
    )
    folder = arguments.output or default_folder(arguments.store, encoder.source.encoder)
    refuse_overwriting(folder, (arguments.store, arguments.weights))

    def report(done: int, clips: int) -> None:
        print_progress(f"{done} of {clips} clips")

    print(cache_features(store, Path(folder), encoder, progress=report if sys.stderr.isatty() else None))
