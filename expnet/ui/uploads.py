"""What may come in: how large, how long, and under which name it is kept."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import av
from aiohttp import BodyPartReader, MultipartReader

from expnet.errors import InputError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What the page accepts.

    Args:
        seconds: longest speech, and longest video made.
        image_bytes: largest portrait or background.
        media_bytes: largest recording or clip.
        characters: longest text to say.
        clip_seconds: longest clip that motion is taken from.
    """

    seconds: float = 300.0
    image_bytes: int = 25 * MEGABYTE
    media_bytes: int = 100 * MEGABYTE
    characters: int = 3000
    clip_seconds: float = 60.0

    def of_file(self, name: str) -> int:
        """Most bytes of the file that fills a field of the page."""
        return self.image_bytes if name in ("portrait", "background") else self.media_bytes


FILE_FIELDS = ("portrait", "speech", "reference_video", "background")
_TEXT_BYTES = 20_000


@dataclass
class Upload:
    """What one press of the button sent.

    Attributes:
        texts: field -> text.
        controls: control -> text.
        files: field -> where it lies.
        names: field -> what its owner calls it.
    """

    texts: dict[str, str] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


async def receive(reader: MultipartReader, folder: Path, limits: Limits) -> Upload:
    """Take in a form, piece by piece: no file is ever held in memory, none grows beyond its limit.

    Args:
        reader: of the request.
        folder: where the files go, under names of our own.
        limits: what is accepted.

    Raises:
        InputError: a file that is too large, or a form that is none of the page's.
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
            raise InputError(f"{name}: the page has no such file; load it again.")
    upload.controls = _controls(upload.texts.pop("controls", "{}"))
    return upload


def too_large(name: str, limit: int) -> str:
    """What is said of a file that is too large."""
    return f"{name}: larger than {limit // MEGABYTE} MB, the most that this page takes; use a smaller file."


def check_length(path: Path, limit: float, what: str) -> None:
    """Refuse media that is too long, before it is decoded into memory.

    The stream is counted, not believed: recordings of a browser say no length, and others may lie.

    Args:
        path: an audio or video file.
        limit: seconds.
        what: it is, for the message.

    Raises:
        InputError: it is longer, or no media file.
    """
    counted: dict[int, float] = {}
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            for packet in container.demux([one for one in container.streams if one.type in ("audio", "video")]):
                if packet.time_base is None:
                    continue
                index, unit = packet.stream.index, float(packet.time_base)
                counted[index] = counted.get(index, 0.0) + (packet.duration or 0) * unit
                shown = ((packet.pts or 0) - (packet.stream.start_time or 0)) * unit
                if max(counted[index], shown) > limit:
                    raise InputError(f"{path}: {what} is longer than {limit:g} s, the most that this page takes.")
    except av.FFmpegError as error:
        raise InputError(f"{path}: not an audio or video file that can be read; try another one.") from error


async def _pieces(part: BodyPartReader, limit: int, message: str) -> AsyncIterator[bytes]:
    """The bytes of a part as they come, up to a limit."""
    total = 0
    while piece := await part.read_chunk():
        total += len(piece)
        if total > limit:
            raise InputError(message)
        yield piece


def _controls(text: str) -> dict[str, str]:
    """The controls that the page sent, as JSON: name -> text."""
    try:
        controls = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError("The controls could not be read; load the page again.") from error
    if not isinstance(controls, dict) or not all(isinstance(value, str) for value in controls.values()):
        raise InputError("The controls could not be read; load the page again.")
    return controls
