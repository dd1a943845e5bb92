"""Video files in, through PyAV: no system ffmpeg, one frame in memory at a time. Writing is in ``video_writer``.

Reading resamples any source (30 fps, 23.976 fps, variable rate) to a constant rate by time stamps, so that frame ``k``
is what a player shows nearest to second ``k / fps``.
"""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from expnet.errors import InputError
from expnet.media.video_writer import FRAME_RATE, PROVENANCE, check_output, write_video

__all__ = ["FRAME_RATE", "PROVENANCE", "VideoInfo", "check_output", "probe_video", "read_video", "write_video"]


# Demuxers that hold moving pictures in one file. A whitelist, because a playlist that calls itself .mp4 could make
# the demuxer open other files and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,mxf,nut,h264,hevc,m4v,obu,ivf"
)
# A file that stops this long before its own header says it ends is cut off.
_TRUNCATION_SECONDS = 0.5
# Containers with an index of key frames; in the others (.ts, .mpg) a seek may land behind the frame that was asked for.
_INDEXED = frozenset(("avi", "matroska", "mov"))
# Seeking aims so much earlier, as an index may count in times of decoding and not of showing.
_SEEK_MARGIN_SECONDS = 1.0
# No talking clip shows one picture this long; a larger step is a broken time stamp that would fill memory and disk.
_LONGEST_STEP_SECONDS = 120.0


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself.

    Attributes:
        frames: number of frames in the file, or None where the container does not say.
        fps: average frame rate, frames/s.
        size: (height, width) in pixels as shown, that is after rotation and with square pixels.
        rotation: counter-clockwise turn in degrees that a player applies: 0, 90, 180 or 270.
        has_audio: whether there is a sound track.
        duration: seconds, 0.0 where the container does not say.
        codec: name of the pictures' codec, as FFmpeg calls it.
    """

    frames: int | None
    fps: float
    size: tuple[int, int]
    rotation: int
    has_audio: bool
    duration: float
    codec: str = ""


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Read the header and the first frame of a video file.

    Raises:
        InputError: no such file, not a video, or not decodable.
    """
    with _open(path) as container:
        stream = container.streams.video[0]
        frame = next(_decode(container, path), None)
        if frame is None:
            raise InputError(f"{path}: the video stream holds no frame; expected a playable video, encode it again.")
        return VideoInfo(
            frames=stream.frames or None,
            fps=float(stream.average_rate or stream.guessed_rate or FRAME_RATE),
            size=_shown_size(frame, _pixel_ratio(stream)),
            rotation=frame.rotation % 360,
            has_audio=bool(container.streams.audio),
            duration=_declared_end(container) or 0.0,
            codec=stream.codec_context.name,
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

    Time zero is the first picture's, as it is for ``load_audio``, so that the frames stay in step with the sound.
    Output ``k`` is the source frame whose time stamp is nearest to ``k / fps``; frames are held over gaps.

    Args:
        path: any container and codec that FFmpeg decodes.
        fps: output rate in frames/s; None yields the source's own frames untouched.
        max_side: longer sides are scaled down (area averaging) to this many pixels.
        start: second at which to begin, rounded to a frame of ``fps``; most of what lies before is not decoded.
        end: second at which to stop, likewise; None for the end of the video.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: no such file, not a video, no video stream, broken or cut-off data.
        ValueError: a part of the source's own frames was asked for.
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
        if fps is None:
            for frame in decoded:
                yield _to_rgb(frame, ratio, max_side)
        else:
            left = math.inf if end is None else round(end * fps) - round(start * fps)
            for frame, copies in _constant_rate(_timed(container, decoded), fps, path, round(start * fps)):
                image = _to_rgb(frame, ratio, max_side)
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
        container = av.open(str(path), container_options={"format_whitelist": _FORMATS})
    except (av.FFmpegError, ValueError) as error:
        raise InputError(
            f"{path}: not a video that can be read ({_reason(error)}); "
            "expected a complete mp4, mov, mkv, webm or avi file."
        ) from error
    with container:
        if not container.streams.video:
            raise InputError(f"{path}: there is no video stream in it; expected a file with moving pictures.")
        yield container


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".").lower()


def _decode(container: av.container.InputContainer, path: str | os.PathLike[str]) -> Iterator[av.VideoFrame]:
    """Decode the first video stream; raise InputError for damaged data and for a file that was cut off."""
    stream = container.streams.video[0]
    end = 0.0
    try:
        for frame in container.decode(stream):
            if frame.time is not None:
                end = max(end, frame.time + float((frame.duration or 0) * (frame.time_base or 0)))
            yield frame
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: the video is damaged near second {end:.1f} ({_reason(error)}); copy or encode it again."
        ) from error
    declared = _declared_end(container)
    if declared is not None and end < declared + _start(container) - _TRUNCATION_SECONDS:
        raise InputError(
            f"{path}: the video is cut off: its header says {declared:.1f} s but the pictures stop at "
            f"{end - _start(container):.1f} s; copy the file again."
        )


def _start(container: av.container.InputContainer) -> float:
    """Seconds at which the pictures start: time zero of the clip, for :func:`expnet.audio.wave.load_audio` too."""
    stream = container.streams.video[0]
    if stream.start_time is not None and stream.time_base is not None:
        return float(stream.start_time * stream.time_base)
    return (container.start_time or 0) / av.time_base


def _seek(container: av.container.InputContainer, seconds: float) -> None:
    """Go to a key frame that lies before a time counted from the first picture, where the container has an index."""
    if not _INDEXED.intersection(container.format.name.split(",")):
        return  # all frames are decoded, and those before the time passed over
    stream = container.streams.video[0]
    target = max(_start(container) + seconds - _SEEK_MARGIN_SECONDS, 0.0)
    if stream.time_base is not None:
        container.seek(int(target / stream.time_base), stream=stream, backward=True)


def _declared_end(container: av.container.InputContainer) -> float | None:
    """Seconds from the first picture to the end of the pictures, as the header has it."""
    stream = container.streams.video[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - _start(container)
    # Matroska gives only the longest stream's duration; where sound outlasts pictures it says nothing about these.
    if container.duration is not None and not container.streams.audio:
        return container.duration / av.time_base
    return None


def _timed(
    container: av.container.InputContainer, frames: Iterable[av.VideoFrame]
) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Give each frame its (start, end) in seconds from the first picture's; frames without a stamp follow on."""
    stream = container.streams.video[0]
    rate = float(stream.average_rate or stream.guessed_rate or FRAME_RATE)
    start = _start(container)
    following = 0.0
    for frame in frames:
        begin = following if frame.time is None else frame.time - start
        length = float((frame.duration or 0) * (frame.time_base or 0)) or 1.0 / rate
        following = begin + length
        yield frame, begin, following


def _constant_rate(
    timed: Iterable[tuple[av.VideoFrame, float, float]], fps: float, path: str | os.PathLike[str], first: int = 0
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Pair each source frame with the number of output frames, from number ``first`` on, that it is nearest to."""
    held: av.VideoFrame | None = None
    held_begin = held_end = 0.0
    written = first
    for frame, begin, end in timed:
        if held is not None:
            if begin <= held_begin:  # a repeated or backward stamp: the later picture replaces the earlier
                held, held_end = frame, max(end, held_end)
                continue
            if begin - held_begin > _LONGEST_STEP_SECONDS:
                raise InputError(
                    f"{path}: the time stamps jump from {held_begin:.1f} s to {begin:.1f} s; encode the video again."
                )
            # Outputs before the midpoint of the two stamps are nearer to the held frame. The small offset settles
            # exact ties (50 to 25 frames/s) the same way whatever the rounding of the stamps.
            until = math.ceil(0.5 * (held_begin + begin) * fps - 1e-4)
            if until > written:
                yield held, until - written
                written = until
        held, held_begin, held_end = frame, begin, end
    if held is not None:
        until = max(round(min(held_end, held_begin + _LONGEST_STEP_SECONDS) * fps), written, 1)
        if until > written:
            yield held, until - written


def _pixel_ratio(stream: av.VideoStream) -> float:
    """Width of a pixel over its height: not 1 for old camcorder and broadcast files."""
    return float(stream.sample_aspect_ratio or 1)


def _shown_size(frame: av.VideoFrame, ratio: float) -> tuple[int, int]:
    """(height, width) with square pixels, upright."""
    height, width = frame.height, max(round(frame.width * ratio), 1)
    return (width, height) if frame.rotation % 180 else (height, width)


def _to_rgb(frame: av.VideoFrame, ratio: float, max_side: int | None) -> np.ndarray:
    height, width = frame.height, max(round(frame.width * ratio), 1)
    if max_side is not None and max(height, width) > max_side:
        scale = max_side / max(height, width)
        height, width = max(round(height * scale), 1), max(round(width * scale), 1)
    interpolation = "AREA" if (height, width) != (frame.height, frame.width) else "BICUBIC"
    image = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=interpolation)
    turns = frame.rotation % 360 // 90
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
