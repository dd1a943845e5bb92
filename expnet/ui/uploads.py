"""Receives the files and texts of the form, within limits of size and length."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from aiohttp import BodyPartReader, MultipartReader

from expnet.errors import InputError
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.io.media_file import open_media

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Limits of what the page accepts.

    Args:
        seconds: Longest speech, and longest video made.
        image_bytes: Largest portrait or background.
        media_bytes: Largest recording or clip.
        characters: Longest text to speak.
        clip_seconds: Longest reference video.
    """

    seconds: float = 300.0
    image_bytes: int = 25 * MEGABYTE
    media_bytes: int = 100 * MEGABYTE
    characters: int = 3000
    clip_seconds: float = 60.0

    def of_file(self, name: str) -> int:
        """Return the largest size in bytes of the file of a form field."""
        return self.image_bytes if name in ("portrait", "background") else self.media_bytes


FILE_FIELDS = ("portrait", "speech", "reference_video", "background")
_TEXT_BYTES = 20_000


@dataclass
class Upload:
    """Content of one submitted form.

    Attributes:
        texts: Text of each field.
        controls: Text of each control.
        files: Path of the uploaded file of each field.
        names: Original name of the uploaded file of each field.
    """

    texts: dict[str, str] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


async def receive(reader: MultipartReader, folder: Path, limits: Limits) -> Upload:
    """Receive a form piece by piece: no file is held in memory, and none grows beyond its limit.

    Args:
        reader: Reader of the request.
        folder: Folder for the files, which get names of our own.
        limits: Limits of what is accepted.

    Raises:
        InputError: A file is too large, or the form is not the page's.
    """
    upload = Upload()
    async for part in reader:
        name = part.name if isinstance(part, BodyPartReader) else None
        if not isinstance(part, BodyPartReader) or name is None:
            raise InputError("The form could not be read; load the page again.")
        if part.filename is None:
            pieces = [piece async for piece in _pieces(part, _TEXT_BYTES, f"{name}: the text is too long.")]
            upload.texts[name] = b"".join(pieces).decode(errors="replace")
        elif name in FILE_FIELDS:
            upload.names[name] = Path(part.filename).name
            upload.files[name] = folder / f"{name}{Path(part.filename).suffix.lower()[:8]}"
            limit = limits.of_file(name)
            with upload.files[name].open("wb") as stream:
                async for piece in _pieces(part, limit, too_large(upload.names[name], limit)):
                    stream.write(piece)
        else:
            raise InputError(f"{name}: the page has no such file; load the page again.")
    upload.controls = _controls(upload.texts.pop("controls", "{}"))
    return upload


def too_large(name: str, limit: int) -> str:
    """Return the error message for a file that is too large."""
    return f"{name}: larger than {limit // MEGABYTE} MB, the limit of this page; use a smaller file."


def check_length(path: Path, limit: float, what: str) -> None:
    """Refuse media that is too long, before it is decoded into memory.

    The length is measured from the packets: recordings of a browser declare none, and declared lengths may be wrong.

    Args:
        path: Audio or video file.
        limit: Longest duration in seconds.
        what: Description of the file for the message.

    Raises:
        InputError: The file is longer, or is not a media file.
    """
    counted: dict[int, float] = {}
    try:
        with open_media(path) as container:
            for packet in container.demux(
                [stream for stream in container.streams if stream.type in ("audio", "video")]
            ):
                if packet.time_base is None:
                    continue
                index, unit = packet.stream.index, float(packet.time_base)
                counted[index] = counted.get(index, 0.0) + (packet.duration or 0) * unit
                shown = ((packet.pts or 0) - (packet.stream.start_time or 0)) * unit
                if max(counted[index], shown) > limit:
                    raise InputError(f"{path}: {what} is longer than {limit:g} s, the limit of this page.")
    except (av.FFmpegError, OSError, ValueError) as error:
        if is_machine_fault(error):
            raise machine_error(error) from error
        raise InputError(f"{path}: not a readable audio or video file; try another one.") from error


async def _pieces(part: BodyPartReader, limit: int, message: str) -> AsyncIterator[bytes]:
    """Yield the bytes of a part as they arrive, up to a limit."""
    total = 0
    while piece := await part.read_chunk():
        total += len(piece)
        if total > limit:
            raise InputError(message)
        yield piece


def _controls(text: str) -> dict[str, str]:
    """Parse the controls that the page sent as JSON: text by name."""
    try:
        controls = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError("The controls could not be read; load the page again.") from error
    if not isinstance(controls, dict) or not all(isinstance(value, str) for value in controls.values()):
        raise InputError("The controls could not be read; load the page again.")
    return controls
