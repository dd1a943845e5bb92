"""``expnet features``: compute speech features of a track store."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from expnet.cli.arguments import Commands, add_command, positive, print_progress
from expnet.cli.choices import ENCODER_ASSETS, SPEECH_ENCODERS
from expnet.errors import InputError
from expnet.io.overwriting import refuse_overwriting

if TYPE_CHECKING:
    from expnet.data.disturbed_copies import CopyRecipe


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
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--copies",
        type=positive,
        metavar="K",
        help="also store the features of K disturbed copies of each clip's audio, which training windows draw from",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="with --copies: seed of the copies (default: 0)")
    parser.add_argument(
        "--disturb",
        nargs="+",
        metavar="KEY=VALUE",
        help="with --copies: gain_decibels, noise_snr, babble, reverberation, codec, pitch as in data.*, and "
        "silent_share, the share of copies in which the speech falls silent in places (default: gain_decibels=6 "
        "noise_snr=5 babble=0.2 reverberation=0.3 codec=0.2 pitch=0.3 silent_share=0.25)",
    )
    parser.add_argument("--output", metavar="DIR", help="folder for the features (default: STORE-ENCODER)")


def run_features(arguments: argparse.Namespace) -> None:
    """Compute the features."""
    from expnet.assets.registry import locate
    from expnet.audio.speech_encoders import load_speech_encoder
    from expnet.data.feature_extraction import cache_features, default_folder
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
    copies = _copies(arguments)
    load = partial(load_speech_encoder, weights, encoder=kind, layer=arguments.layer, device=arguments.device)
    encoder = load()
    folder = arguments.output or default_folder(arguments.store, name or encoder.source.encoder)
    refuse_overwriting(folder, (arguments.store, weights))

    def report(done: int, everything: int) -> None:
        print_progress(f"{done} of {everything} {'clips' if copies is None else 'clips and copies'}")

    shown = report if sys.stderr.isatty() else None
    print(
        cache_features(
            store, Path(folder), encoder, copies=copies, workers=arguments.workers, load=load, progress=shown
        )
    )


def _copies(arguments: argparse.Namespace) -> CopyRecipe | None:
    """Return the copies that were asked for."""
    from expnet.config import CopyConfig
    from expnet.config.grammar import merge
    from expnet.data.disturbed_copies import CopyRecipe

    if arguments.copies is None:
        if arguments.seed is not None or arguments.disturb:
            raise InputError("--seed and --disturb are options of --copies: say how many copies, as in --copies 4.")
        return None
    files = [word for word in arguments.disturb or () if "=" not in word]
    if files:
        raise InputError(f"--disturb takes KEY=VALUE, such as noise_snr=0, not '{files[0]}'.")
    options = merge(CopyConfig, arguments.disturb or ())
    return CopyRecipe(arguments.copies, arguments.seed or 0, options)
