"""Reading video files through PyAV: no system ffmpeg, one frame in memory at a time.

Any source (30 fps, 23.976 fps, variable rate) is resampled to a constant rate by its time stamps, so that frame ``k``
is what a player shows nearest to second ``k / fps``.
"""

import logging
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from expnet.errors import InputError
from expnet.io.machine_faults import is_machine_fault, machine_error
from expnet.io.media_file import FileClock, open_media
from expnet.media.colour import ColourTags, colour_tags
from expnet.media.orientation import orientation_of
from expnet.media.video_writer import FRAME_RATE, PROVENANCE, check_output, write_video

_log = logging.getLogger(__name__)

__all__ = ["FRAME_RATE", "PROVENANCE", "VideoInfo", "check_output", "probe_video", "read_video", "write_video"]


# Demuxers of video in a single file. A whitelist, because a playlist disguised as .mp4 could make FFmpeg open other
# files and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,mxf,nut,h264,hevc,m4v,obu,ivf"
)
# A file that ends this much before the end that its header declares was cut off.
_TRUNCATION_SECONDS = 0.5
# Containers with an index of key frames; in others (.ts, .mpg) a seek may land after the requested frame.
_INDEXED = frozenset(("avi", "matroska", "mov"))
# Seeking aims this much earlier, since an index may hold decoding times instead of presentation times.
_SEEK_MARGIN_SECONDS = 1.0
# A file with more frames whose time stamps repeat or step back has no usable times.
_MOST_REPLACED = 0.1
# No talking clip shows one frame for this long; a larger step is a broken time stamp that would fill memory and disk.
_LONGEST_STEP_SECONDS = 120.0


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself.

    Attributes:
        frames: Number of frames in the file; None if the container does not say.
        fps: Average frame rate, frames/s.
        size: (height, width) in pixels as shown, after rotation and with square pixels.
        rotation: Counter-clockwise rotation in degrees that a player applies: 0, 90, 180 or 270.
        has_audio: Whether there is an audio stream.
        duration: Seconds; 0.0 if the container does not say.
        codec: FFmpeg's name of the video codec.
        colour: Range, matrix and primaries of its colours.
    """

    frames: int | None
    fps: float
    size: tuple[int, int]
    rotation: int
    has_audio: bool
    duration: float
    codec: str = ""
    colour: ColourTags = field(default_factory=ColourTags)


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Read the header and the first frame of a video file.

    Raises:
        InputError: There is no such file, it is not a video, or it cannot be decoded.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        frame, _ = next(_decode(container, path), (None, None))
        if frame is None:
            raise InputError(f"{path}: the video stream holds no frames; expected a playable video, encode it again.")
        return VideoInfo(
            frames=stream.frames or None,
            fps=float(stream.average_rate or stream.guessed_rate or FRAME_RATE),
            size=_shown_size(frame, _pixel_ratio(stream)),
            rotation=round(frame.rotation) % 360,
            has_audio=bool(container.streams.audio),
            duration=_declared_end(container) or 0.0,
            codec=stream.codec_context.name,
            colour=colour_tags(frame),
        )


def read_video(
    path: str | os.PathLike[str],
    *,
    fps: float | None = FRAME_RATE,
    max_side: int | None = None,
    start: float = 0.0,
    end: float | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of a video at a constant rate, upright, as shown by a player.

    Time zero is the first frame, as for `expnet.audio.wave.load_audio`, so that frames and audio stay in sync. Output
    ``k`` is the source frame whose time stamp is nearest to ``k / fps``; frames are repeated over gaps.

    Args:
        path: Any container and codec that FFmpeg decodes.
        fps: Output rate in frames/s; None yields the source's own frames.
        max_side: Frames with a longer side are scaled down (area averaging) to this many pixels.
        start: Second to begin at, rounded to a frame of ``fps``; most of the video before it is not decoded.
        end: Second to stop at, rounded likewise; None for the end of the video.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: There is no such file, it is not a video, or it is damaged or cut off.
        ValueError: ``start`` or ``end`` is given without a frame rate.
    """
    if fps is None and (start or end is not None):
        raise ValueError("start and end need a constant frame rate")
    with _open(path) as container:
        if start:
            declared = _declared_end(container)
            if declared is not None and start >= declared:
                return
            _seek(container, start)
        decoded = _decode(container, path)
        ratio = _pixel_ratio(container.streams.video[0])
        # PyAV shares one converter within a thread, whose own threads a forked process would wait for in vain.
        converter = VideoReformatter()
        if fps is None:
            for frame, _ in decoded:
                yield _to_rgb(frame, ratio, max_side, converter)
        else:
            left = math.inf if end is None else round(end * fps) - round(start * fps)
            for frame, copies in _constant_rate(_timed(container, decoded), fps, path, round(start * fps)):
                image = _to_rgb(frame, ratio, max_side, converter)
                for _ in range(int(min(copies, left))):
                    yield image
                left -= copies
                if left <= 0:
                    return


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[av.container.InputContainer]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such video file; check the path.")
    try:
        container = open_media(path, formats=_FORMATS)
    except (av.FFmpegError, ValueError) as error:
        if is_machine_fault(error):
            raise machine_error(error) from error
        raise InputError(
            f"{path}: not a video that can be read ({_reason(error)}); "
            "expected a complete mp4, mov, mkv, webm or avi file."
        ) from error
    with container:
        if not container.streams.video:
            raise InputError(f"{path}: it has no video stream; expected a video file.")
        yield container


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".").lower()


def _decode(
    container: av.container.InputContainer, path: str | os.PathLike[str]
) -> Iterator[tuple[av.VideoFrame, float | None]]:
    """Decode the first video stream into frames and their times in seconds.

    Raises:
        InputError: The data is damaged or the file was cut off.
    """
    stream = container.streams.video[0]
    clock = FileClock()
    end = 0.0
    try:
        for packet in clock.demux(container):
            if packet.stream.index != stream.index:
                continue
            for frame in packet.decode():
                time = clock.time(frame, stream.index)
                if time is not None:
                    end = max(end, time + float((frame.duration or 0) * (frame.time_base or 0)))
                yield frame, time
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: the video is damaged near second {end:.1f} ({_reason(error)}); copy or encode it again."
        ) from error
    declared = _declared_end(container)
    if declared is not None and end < declared + _start(container) - _TRUNCATION_SECONDS:
        raise InputError(
            f"{path}: the video is cut off: its header says {declared:.1f} s but the frames stop at "
            f"{end - _start(container):.1f} s; copy the file again."
        )


def _start(container: av.container.InputContainer) -> float:
    """Return the time of the first frame in seconds, which is time zero of the clip, for the audio too."""
    stream = container.streams.video[0]
    if stream.start_time is not None and stream.time_base is not None:
        return float(stream.start_time * stream.time_base)
    return (container.start_time or 0) / av.time_base


def _seek(container: av.container.InputContainer, seconds: float) -> None:
    """Seek to a key frame before a time counted from the first frame, if the container has an index."""
    if not _INDEXED.intersection(container.format.name.split(",")):
        return  # all frames are decoded, and those before the time are skipped
    stream = container.streams.video[0]
    target = max(_start(container) + seconds - _SEEK_MARGIN_SECONDS, 0.0)
    if stream.time_base is not None:
        container.seek(int(target / stream.time_base), stream=stream, backward=True)


def _declared_end(container: av.container.InputContainer) -> float | None:
    """Return the seconds from the first frame to the end of the video according to the header; None if unknown."""
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - _start(container)
    # Matroska declares only the duration of the longest stream, which may be the audio.
    if container.duration is not None and not container.streams.audio:
        return container.duration / av.time_base
    return None


def _timed(
    container: av.container.InputContainer, frames: Iterable[tuple[av.VideoFrame, float | None]]
) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Yield each frame with its start and end in seconds from the first frame; those without a time stamp follow on."""
    stream = container.streams.video[0]
    rate = float(stream.average_rate or stream.guessed_rate or FRAME_RATE)
    start = _start(container)
    following = 0.0
    for frame, time in frames:
        begin = following if time is None else time - start
        length = float((frame.duration or 0) * (frame.time_base or 0)) or 1.0 / rate
        following = begin + length
        yield frame, begin, following


def _constant_rate(
    timed: Iterable[tuple[av.VideoFrame, float, float]], fps: float, path: str | os.PathLike[str], first: int = 0
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Yield each source frame with the number of output frames, counted from ``first``, that it is nearest to."""
    held: av.VideoFrame | None = None
    held_begin = held_end = 0.0
    written = first
    decoded = replaced = 0
    for frame, begin, end in timed:
        decoded += 1
        if held is not None:
            if begin <= held_begin:  # a repeated or backward time stamp: the later frame replaces the earlier
                replaced += 1
                held, held_end = frame, max(end, held_end)
                continue
            if begin - held_begin > _LONGEST_STEP_SECONDS:
                raise InputError(
                    f"{path}: the time stamps jump from {held_begin:.1f} s to {begin:.1f} s; encode the video again."
                )
            # Outputs before the midpoint of the two time stamps are nearer to the held frame. The small offset decides
            # exact ties (50 to 25 frames/s) the same way however the time stamps are rounded.
            until = math.ceil(0.5 * (held_begin + begin) * fps - 1e-4)
            if until > written:
                yield held, until - written
                written = until
        held, held_begin, held_end = frame, begin, end
    if held is not None:
        until = max(round(min(held_end, held_begin + _LONGEST_STEP_SECONDS) * fps), written, 1)
        if until > written:
            yield held, until - written
    if replaced > _MOST_REPLACED * decoded:
        raise InputError(
            f"{path}: {replaced} of {decoded} frames have time stamps that repeat or step back; encode the video again."
        )
    if replaced:
        _log.warning("%s: %d of %d frames have repeated time stamps and were left out.", path, replaced, decoded)


def _pixel_ratio(stream: av.VideoStream) -> float:
    """Return the width of a pixel over its height, which is not 1 in old camcorder and broadcast files."""
    return float(stream.sample_aspect_ratio or 1)


def _shown_size(frame: av.VideoFrame, ratio: float) -> tuple[int, int]:
    """Return (height, width) with square pixels, upright."""
    height, width = frame.height, max(round(frame.width * ratio), 1)
    return (width, height) if orientation_of(frame).transposed else (height, width)


def _to_rgb(frame: av.VideoFrame, ratio: float, max_side: int | None, converter: VideoReformatter) -> np.ndarray:
    height, width = frame.height, max(round(frame.width * ratio), 1)
    if max_side is not None and max(height, width) > max_side:
        scale = max_side / max(height, width)
        height, width = max(round(height * scale), 1), max(round(width * scale), 1)
    interpolation = "AREA" if (height, width) != (frame.height, frame.width) else "BICUBIC"
    image = converter.reformat(frame, width, height, "rgb24", interpolation=interpolation).to_ndarray()
    return orientation_of(frame).apply(cast(NDArray[np.uint8], image))
