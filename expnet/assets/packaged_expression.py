"""Which packaged networks give the expression: those on Whisper's features wherever their speech encoder is found.

This module alone decides it. Everything that animates or evaluates without weights of the user's own calls
`expression_weights`, and `choose_motion` for motion that is sampled; ``expnet doctor`` shows the result of `choose`.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from expnet.assets.encoders import check_fetched, encoder_asset, find_encoder, source_of
from expnet.models.interfaces import load_expression_network, load_motion_network
from expnet.models.packaged_weights import (
    DEFAULT_MOTION,
    MOTIONS,
    MotionKind,
    has_packaged_weights,
    packaged_weights,
)

STREAMING = "streaming"
"""Name of the packaged network for live speech, which reads the mel alone."""
PACKAGED = {"mel": "expression", "whisper": "expression-whisper", STREAMING: "expression-streaming"}
"""Files of the packaged expression networks, by the names that stand for them in place of a path."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The packaged network that is used when none is named.

    Attributes:
        name: One of `PACKAGED`.
        encoder: File of its speech encoder; None for the network that reads the mel alone.
        missing: Asset of the speech encoder that the better network needs; empty if nothing is missing.
    """

    name: str
    encoder: Path | None = None
    missing: str = ""

    @property
    def advice(self) -> str:
        """One sentence on what would be better, and how to get it; empty if nothing would."""
        if not self.missing:
            return ""
        return (
            f"The lips follow the mel spectrogram; they follow speech better with the speech encoder {self.missing}: "
            f"expnet assets fetch {self.missing}."
        )


def choose() -> Choice:
    """Choose among the packaged expression networks: Whisper's features where the encoder's weights are found.

    Raises:
        InputError: The encoder's file is there, but damaged, or has other weights.
    """
    if not has_packaged_weights(PACKAGED["whisper"]):
        return Choice("mel")
    source = source_of(load_expression_network(packaged_weights(PACKAGED["whisper"])))
    if source is None:
        raise ValueError(f"{PACKAGED['whisper']} was not trained on speech features")
    encoder = find_encoder(source)
    if encoder is not None:
        return Choice("whisper", encoder)
    asset = encoder_asset(source) or ""
    if asset:
        check_fetched(asset)
    return Choice("mel", missing=asset)


def expression_weights(
    given: str | os.PathLike[str] | None = None,
    *,
    speech_encoder: str | os.PathLike[str] | None = None,
    advise: bool = True,
) -> Path:
    """Return the weights of the expression network to use.

    Args:
        given: Run folder, .ckpt or .safetensors, or one of `PACKAGED`; None for the best packaged network.
        speech_encoder: The user's own speech encoder, for which the network on Whisper's features is taken.
        advise: Whether to call `advise_encoder` if another packaged network would be better. Who opens the network
            before it is known whether there will be speech calls it later.

    Raises:
        InputError: The encoder's file is there, but damaged, or has other weights.
        MissingAssetError: This installation lacks the file.
    """
    if given is None:
        if speech_encoder is not None:
            return packaged_weights(PACKAGED["whisper"])
        choice = choose()
        if advise:
            _warn_of(choice)
        return packaged_weights(PACKAGED[choice.name])
    return packaged_weights(PACKAGED[given]) if given in PACKAGED else Path(given)


def choose_motion(
    given: str | os.PathLike[str] | None = None, *, other_networks: bool = False, encoder: bool = False
) -> tuple[MotionKind, Path | None]:
    """Choose how portraits move.

    Args:
        given: One of `MOTIONS`, or weights of a motion network, which are sampled; None for `DEFAULT_MOTION`.
        other_networks: Whether the user gave an expression or head-pose network; without ``given``, they are used.
        encoder: Whether the user gave the speech encoder.

    Returns:
        How the portrait moves, and the weights of the motion network; None for the packaged ones.

    Raises:
        InputError: The encoder's file is there, but damaged, or has other weights.
    """
    if given is None:
        return ("sampled" if not other_networks and _sampled_by_default(encoder) else "regressed"), None
    for kind in MOTIONS:
        if given == kind:
            return kind, None
    return "sampled", Path(given)


def _sampled_by_default(encoder: bool) -> bool:
    """Tell whether motion is sampled when nobody chooses; ``encoder`` tells whether the speech encoder was given."""
    if DEFAULT_MOTION != "sampled" or not has_packaged_weights("motion"):
        return False
    source = source_of(load_motion_network(packaged_weights("motion")))
    return encoder or source is None or find_encoder(source) is not None


def advise_encoder() -> None:
    """Log one warning if another packaged network would be better than the one that `choose` finds."""
    _warn_of(choose())


def _warn_of(choice: Choice) -> None:
    if choice.missing:
        _warn_once(choice.advice)


@cache
def _warn_once(text: str) -> None:
    """Log a warning, once in a process however many animators it opens."""
    _log.warning(text)
