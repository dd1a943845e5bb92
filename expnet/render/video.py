"""Video files in and out, through PyAV: no system ffmpeg, one frame in memory at a time.

Reading resamples any source (30 fps, 23.976 fps, variable rate) to a constant rate by time stamps, so that frame ``k``
is what a player shows nearest to second ``k / fps``. Writing muxes H.264 and AAC with explicit sound time stamps:
without them the sound of a 16 kHz track comes back 1024 samples (64 ms, 1.6 frames) late.
"""

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from expnet.errors import InputError

FRAME_RATE = 25.0
PROVENANCE = "made with expnet (synthetic video)"

# Demuxers that hold moving pictures in one file. A whitelist, because a playlist that calls itself .mp4 could make
# the demuxer open other files and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,mxf,nut,h264,hevc,m4v,obu,ivf"
)
# A file that stops this long before its own header says it ends is cut off.
_TRUNCATION_SECONDS = 0.5
# No talking clip shows one picture this long; a larger step is a broken time stamp that would fill memory and disk.
_LONGEST_STEP_SECONDS = 120.0
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_AUDIO_CHUNK = 1024


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
    """

    frames: int | None
    fps: float
    size: tuple[int, int]
    rotation: int
    has_audio: bool
    duration: float


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
        )


def read_video(
    path: str | os.PathLike[str], *, fps: float | None = FRAME_RATE, max_side: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the frames of a video at a constant rate, upright, as shown by a player.

    Time zero is the first picture's, as it is for ``load_audio``, so that the frames stay in step with the sound.
    Output ``k`` is the source frame whose time stamp is nearest to ``k / fps``; frames are held over gaps.

    Args:
        path: any container and codec that FFmpeg decodes.
        fps: output rate in frames/s; None yields the source's own frames untouched.
        max_side: longer sides are scaled down (area averaging) to this many pixels.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: no such file, not a video, no video stream, broken or cut-off data.
    """
    with _open(path) as container:
        decoded = _decode(container, path)
        ratio = _pixel_ratio(container.streams.video[0])
        if fps is None:
            for frame in decoded:
                yield _to_rgb(frame, ratio, max_side)
        else:
            for frame, copies in _constant_rate(_timed(container, decoded), fps, path):
                image = _to_rgb(frame, ratio, max_side)
                for _ in range(copies):
                    yield image


def check_output(path: str | os.PathLike[str], *, suffixes: Iterable[str] = _CONTAINERS) -> Path:
    """Make sure that a file can be written at ``path`` before any work is spent on it.

    Raises:
        InputError: the folder does not exist or is read-only, the path is a folder, or the suffix is not known.
    """
    path = Path(path)
    suffixes = list(suffixes)
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: the output's suffix {path.suffix!r} is not known; use one of {', '.join(suffixes)}.")
    if path.is_dir():
        raise InputError(f"{path}: the output is a folder; give the name of a file in it.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another output.")
    try:
        # Trying is the only sure test: permissions, read-only mounts and full disks all answer here.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(
            f"{path}: cannot write in {path.parent} ({error.strerror}); choose a folder that can be written."
        ) from error
    return path


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    *,
    fps: float = FRAME_RATE,
    audio: np.ndarray | None = None,
    sample_rate: int = 16000,
    crf: int = 17,
    preset: str = "fast",
    comment: str = PROVENANCE,
) -> int:
    """Write frames, and sound, to an H.264 + AAC file that players and browsers show in sync.

    The file is made beside ``path`` and renamed when complete, so a failure leaves nothing behind and never harms an
    older file. Odd sides are padded by one repeated row or column, as yuv420p needs even ones. Colours are BT.709,
    and tagged so.

    Args:
        path: output, ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv``.
        frames: (H, W, 3) uint8 RGB, all of one size; a generator is consumed one frame at a time.
        fps: frames/s.
        audio: mono samples (S,) in [-1, 1], or None for a silent file. Written whole, from time zero.
        sample_rate: of the audio, Hz.
        crf: x264 quality, 0 best to 51.
        preset: x264 speed.
        comment: provenance mark stored in the file's metadata.

    Returns:
        The number of frames written.

    Raises:
        InputError: the output cannot be written (checked before the first frame is drawn), or a frame has another
            shape or type.
    """
    path = check_output(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        count = _encode(partial, frames, fps, audio, sample_rate, {"crf": str(crf), "preset": preset}, comment)
        partial.chmod(0o666 & ~_umask())  # mkstemp makes private files
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count


# ---------------------------------------------------------------------------------------------------- reading


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
    timed: Iterable[tuple[av.VideoFrame, float, float]], fps: float, path: str | os.PathLike[str]
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Pair each source frame with the number of output frames it is nearest to."""
    held: av.VideoFrame | None = None
    held_begin = held_end = 0.0
    written = 0
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


# ---------------------------------------------------------------------------------------------------- writing


def _encode(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    audio: np.ndarray | None,
    sample_rate: int,
    options: dict[str, str],
    comment: str,
) -> int:
    rate = Fraction(fps).limit_denominator(1001)
    container_options = {"movflags": "+faststart"} if path.suffix.lower() != ".mkv" else {}
    with av.open(
        str(path), "w", format=_CONTAINERS[path.suffix.lower()], container_options=container_options
    ) as container:
        container.metadata["comment"] = comment
        video = container.add_stream("libx264", rate=rate, options=options)
        sound = _SoundTrack(container, audio, sample_rate) if audio is not None else None
        shape: tuple[int, ...] | None = None
        count = 0
        for image in frames:
            if shape is None:
                shape = image.shape
                _configure(video, shape)
            if image.dtype != np.uint8 or image.shape != shape or image.ndim != 3 or image.shape[2] != 3:
                raise InputError(
                    f"frame {count} is {image.dtype} {image.shape}; expected uint8 RGB {shape} like the first frame."
                )
            container.mux(video.encode(_to_frame(image, count, rate)))
            count += 1
            if sound is not None:
                sound.write_until(count / float(rate))
        if count == 0:
            raise InputError(f"{path}: there is no frame to write; expected at least one.")
        container.mux(video.encode(None))
        if sound is not None:
            sound.finish()
    return count


def _configure(video: av.VideoStream, shape: tuple[int, ...]) -> None:
    video.height, video.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    video.pix_fmt = "yuv420p"
    context = video.codec_context
    context.gop_size = 50  # players can jump to every second second
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # limited


def _to_frame(image: np.ndarray, index: int, rate: Fraction) -> av.VideoFrame:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    frame.pts, frame.time_base = index, 1 / rate
    return frame


class _SoundTrack:
    """An AAC stream fed in step with the pictures, so that the muxer never has to hold either back."""

    def __init__(self, container: av.container.OutputContainer, samples: np.ndarray, sample_rate: int) -> None:
        if samples.ndim != 1:
            raise InputError(f"audio has shape {samples.shape}; expected mono samples (S,).")
        self.container = container
        self.samples = samples
        self.sample_rate = sample_rate
        self.position = 0
        self.stream = container.add_stream("aac", rate=sample_rate, layout="mono", bit_rate=96_000)

    def write_until(self, second: float) -> None:
        stop = min(int(second * self.sample_rate), len(self.samples))
        while self.position < stop:
            self._write(self.samples[self.position : self.position + _AUDIO_CHUNK])

    def finish(self) -> None:
        self.write_until(len(self.samples) / self.sample_rate + 1.0)
        self.container.mux(self.stream.encode(None))

    def _write(self, chunk: np.ndarray) -> None:
        clean = np.clip(np.nan_to_num(chunk.astype(np.float32)), -1.0, 1.0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(clean[None]), format="fltp", layout="mono")
        frame.sample_rate = self.sample_rate
        # The stamp matters: without it the decoder does not drop the encoder's 1024 priming samples.
        frame.pts, frame.time_base = self.position, Fraction(1, self.sample_rate)
        self.container.mux(self.stream.encode(frame))
        self.position += len(chunk)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
