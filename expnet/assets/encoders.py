"""Finding the speech encoder that a network was trained with among the fetched assets."""

from __future__ import annotations

from pathlib import Path

from expnet.assets.registry import locate
from expnet.audio.speech_encoders import FeatureSource
from expnet.audio.speech_encoders.whisper_weights import KEPT_BLOCKS, read_whisper
from expnet.errors import MissingAssetError

ENCODERS = ("whisper-tiny.en", "whisper-base")
"""Assets that are speech encoders."""


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
