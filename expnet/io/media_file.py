"""Opening media files with FFmpeg as untrusted data, and times that run on where the time stamps of a file restart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

# PyAV 19 replaces what is not UTF-8 in the titles of a file; earlier versions raise an error unless they are told to.
_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
_RESTART_SECONDS = 0.5
"""Time stamps that step back by more than this belong to another recording, appended to the file."""


def open_media(path: str | os.PathLike[str], *, formats: str | None = None) -> InputContainer:
    """Open a local media file for reading.

    Colons in names are not taken for protocols, titles in legacy encodings do not matter, and a playlist disguised as a
    media file cannot make FFmpeg open other files or addresses.

    Args:
        path: Media file.
        formats: Comma-separated names of the demuxers to allow; None for all.

    Raises:
        av.FFmpegError, OSError, ValueError: The file cannot be opened or is not a media file.
    """
    options = {"protocol_whitelist": "file"}
    if formats is not None:
        options["format_whitelist"] = formats
    return av.open(media_url(path), container_options=options, **_METADATA)


def media_url(path: str | os.PathLike[str]) -> str:
    """Return a path as FFmpeg takes it: absolute, since FFmpeg reads ``12:30.wav`` as a protocol and drops ``./``."""
    return str(Path(path).absolute())


@dataclass
class _Part:
    """Where one stream is within a file that holds several recordings.

    Attributes:
        number: Number of the recording that the last packet belongs to.
        latest: Decoding time of the last packet in seconds, by its own time stamp.
        end: Latest end of a packet of this recording in seconds, by its own time stamp.
        shown_number: Number of the recording that the last decoded frame belongs to.
        shown: Time of the last decoded frame in seconds, by its own time stamp.
    """

    number: int = 0
    latest: float = float("-inf")
    end: float = float("-inf")
    shown_number: int = 0
    shown: float = float("-inf")


class FileClock:
    """Presentation times in seconds, continued where time stamps restart.

    Recordings joined byte by byte (``cat a.ts b.ts``) restart their time stamps in the middle. Each recording is
    shifted to follow the one before, by the same amount in all streams, so that audio and video stay in sync: the
    stream whose packets restart first decides. Two readers of a file get the same times if they watch the same packets,
    so all audio and video packets have to pass through `demux`, decoded or not.
    """

    def __init__(self) -> None:
        self._shifts = [0.0]  # seconds, one per recording
        self._parts: dict[int, _Part] = {}

    def demux(self, container: InputContainer) -> Iterator[av.Packet]:
        """Yield the packets of all audio and video streams in file order."""
        for packet in container.demux(*container.streams.video, *container.streams.audio):
            self._watch(packet)
            yield packet

    def time(self, frame: av.VideoFrame | av.AudioFrame, stream: int) -> float | None:
        """Return the time of a decoded frame in seconds; None if it has no time stamp.

        Args:
            frame: A frame, in the order in which its stream is decoded.
            stream: Index of its stream.
        """
        if frame.time is None:
            return None
        part = self._parts.setdefault(stream, _Part())
        restarted = frame.time < part.shown - _RESTART_SECONDS
        if restarted and part.shown_number + 1 < len(self._shifts):
            part.shown_number += 1
        part.shown = frame.time
        return frame.time + self._shifts[part.shown_number]

    def _watch(self, packet: av.Packet) -> None:
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        base = packet.time_base
        part = self._parts.setdefault(packet.stream.index, _Part())
        begin = float((stamp if packet.pts is None else packet.pts) * base)
        if float(stamp * base) < part.latest - _RESTART_SECONDS:
            part.number += 1
            if part.number == len(self._shifts):
                self._shifts.append(self._shifts[-1] + part.end - begin)
            part.end = float("-inf")
        part.latest = float(stamp * base)
        part.end = max(part.end, begin + float((packet.duration or 0) * base))
