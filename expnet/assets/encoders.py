"""The speech encoder that a network was trained with: found among the fetched assets, and opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from expnet.assets.registry import known, locate, verify
from expnet.audio.speech_encoders import FeatureSource, SpeechEncoder, load_speech_encoder
from expnet.audio.speech_encoders.whisper_weights import KEPT_BLOCKS, read_whisper
from expnet.errors import InputError, MissingAssetError

ENCODERS = ("whisper-tiny.en", "whisper-base")
"""Assets that are speech encoders."""
_WIDTHS = {384: "whisper-tiny.en", 512: "whisper-base"}
"""The assets by the size of their features."""


class HearingNetwork(Protocol):
    """A network that may have been trained on speech features.

    Attributes:
        task: ``expression`` or ``motion``.
        options: Arguments of its constructor; ``speech_features`` has the values of a `FeatureSource`.
    """

    task: str
    options: dict[str, Any]


def source_of(network: HearingNetwork) -> FeatureSource | None:
    """Return the features that a network was trained on; None for a network that reads the mel alone."""
    needed = network.options.get("speech_features")
    return None if needed is None else FeatureSource(**needed)


def find_encoder(source: FeatureSource) -> Path | None:
    """Return the fetched asset with the weights of a feature source; None if there is none.

    Raises:
        InputError: A fetched file is damaged.
    """
    if source.encoder != "whisper" or source.layer > KEPT_BLOCKS:
        return None
    for name in ENCODERS:
        try:
            path = locate(name)
        except MissingAssetError:
            continue
        if read_whisper(path, source.layer).sha256() == source.sha256:
            return path
    return None


def encoder_asset(source: FeatureSource) -> str | None:
    """Return the name of the asset to fetch for a feature source; None if no asset can have its weights."""
    fits = source.encoder == "whisper" and source.layer <= KEPT_BLOCKS
    return _WIDTHS.get(source.size) if fits else None


def check_fetched(asset: str) -> None:
    """Check an encoder that was fetched, if there is one.

    Raises:
        InputError: The file has other weights, or is damaged.
    """
    try:
        path = locate(asset)
    except MissingAssetError:
        return
    verify(path, known(asset))


def open_speech_encoder(
    network: HearingNetwork, path: str | os.PathLike[str] | None, *, option: str = "--speech-encoder"
) -> SpeechEncoder | None:
    """Open the speech encoder that a network was trained with; None for a network that needs none.

    Args:
        network: The network.
        path: File or folder of the encoder; None to search the fetched assets.
        option: How the user gives the path, for the sentence of an error.

    Raises:
        InputError: The encoder is missing, is not needed, or has other weights than in training.
    """
    source = source_of(network)
    if source is None:
        if path is not None:
            raise InputError(f"The {network.task} network reads only the mel: leave the speech encoder out.")
        return None
    found = find_encoder(source) if path is None else path
    if found is None:
        raise InputError(_missing(network.task, source, option))
    encoder = load_speech_encoder(found, encoder=source.encoder, layer=source.layer)
    if encoder.source != source:
        raise InputError(
            f"The {network.task} network was trained on {source.describe()}, but {found} has "
            f"{encoder.source.describe()}: give the same weights."
        )
    return encoder


def _missing(task: str, source: FeatureSource, option: str) -> str:
    """Return the sentence for an encoder that was not found; raises InputError if its file holds other weights."""
    asset = encoder_asset(source)
    needed = f"The {task} network was trained on {source.describe()}: give the folder of those weights with {option}"
    if asset is None:
        return f"{needed}."
    check_fetched(asset)
    return f"{needed}, or fetch {asset} with 'expnet assets fetch {asset}'."
