"""Writing video files: H.264 and AAC in sync, complete or not at all.

The audio carries explicit time stamps; without them a 16 kHz track is read back 1024 samples (64 ms, 1.6 frames) late.
"""

import os
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from expnet.audio.stored_samples import Samples
from expnet.errors import InputError
from expnet.io.atomic import LONGEST_NAME, atomic_path
from expnet.io.machine_faults import is_machine_fault, writing_failed
from expnet.io.media_file import media_url

FRAME_RATE = 25.0
PROVENANCE = "made with expnet (synthetic video)"

_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_AUDIO_CHUNK = 1024
# The AVX-512 code of x264's macroblock tree reads memory that nobody wrote where the width is no multiple of 256
# pixels. The C code, which this option selects, writes the same file each time and takes no longer.
_REPEATABLE = {"x264-params": "cpu-independent=1"}


def check_output(path: str | os.PathLike[str], *, suffixes: Iterable[str] = _CONTAINERS, besides: str = "") -> Path:
    """Make sure that a file can be written before any work is spent on it.

    Args:
        path: File to write.
        suffixes: Suffixes that it may have.
        besides: What else the caller accepts, for the error message about an unknown suffix.

    Raises:
        InputError: The folder does not exist or is read-only, the path is a folder, or the suffix is unknown.
    """
    path = Path(path)
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise InputError(f"{path.name[:40]}...: the name is longer than {LONGEST_NAME} bytes; give a shorter one.")
    suffixes = list(suffixes)
    if path.suffix.lower() not in suffixes:
        known = ", ".join(suffixes)
        raise InputError(f"{path}: the output's suffix {path.suffix!r} is unknown; use one of {known}{besides}.")
    if path.is_dir():
        raise InputError(f"{path}: the output is a folder; give the name of a file in it.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another output.")
    try:
        # Only trying is reliable: permissions, read-only mounts and full disks all show here.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        if is_machine_fault(error):
            raise writing_failed(path, error) from error
        raise InputError(
            f"{path}: cannot write in {path.parent} ({error.strerror}); choose a folder that can be written."
        ) from error
    return path


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    *,
    fps: float = FRAME_RATE,
    audio: Samples | None = None,
    sample_rate: int = 16000,
    crf: int = 17,
    preset: str = "fast",
    comment: str = PROVENANCE,
) -> int:
    """Write frames and audio to an H.264 + AAC file that players and browsers show in sync.

    The file is written beside ``path`` and renamed when complete, so a failure leaves nothing behind and never harms an
    older file. Odd sides are padded by one repeated row or column, as yuv420p needs even sides. Colours are BT.709 and
    tagged as such.

    Args:
        path: Output file, ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv``.
        frames: (H, W, 3) uint8 RGB, all of one size; a generator is consumed one frame at a time.
        fps: Frames/s.
        audio: Mono samples (S,) in [-1, 1], written from time zero; None for a video without audio.
        sample_rate: Sample rate of the audio in Hz.
        crf: x264 quality, from 0 (best) to 51.
        preset: x264 speed.
        comment: Provenance mark stored in the metadata of the file.

    Returns:
        The number of frames written.

    Raises:
        InputError: The output cannot be written (checked before the first frame is rendered), or a frame has another
            shape or type.
    """
    path = check_output(path)
    options = {"crf": str(crf), "preset": preset, **_REPEATABLE}
    try:
        with atomic_path(path) as partial:
            return _encode(partial, frames, fps, audio, sample_rate, options, comment)
    except OSError as error:
        raise writing_failed(path, error) from error


def _encode(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    audio: Samples | None,
    sample_rate: int,
    options: dict[str, str],
    comment: str,
) -> int:
    rate = Fraction(fps).limit_denominator(1001)
    container_options = {"movflags": "+faststart"} if path.suffix.lower() != ".mkv" else {}
    with av.open(
        media_url(path), "w", format=_CONTAINERS[path.suffix.lower()], container_options=container_options
    ) as container:
        container.metadata["comment"] = comment
        video = container.add_stream("libx264", rate=rate, options=options)
        track = _AudioTrack(container, audio, sample_rate) if audio is not None else None
        shape: tuple[int, ...] | None = None
        count = 0
        converter = VideoReformatter()  # no other process waits for its threads, see read_video
        for image in frames:
            if shape is None:
                shape = image.shape
                _configure(video, shape)
            if image.dtype != np.uint8 or image.shape != shape or image.ndim != 3 or image.shape[2] != 3:
                raise InputError(
                    f"frame {count} is {image.dtype} {image.shape}; expected uint8 RGB {shape} like the first frame."
                )
            container.mux(video.encode(_to_frame(image, count, rate, converter)))
            count += 1
            if track is not None:
                track.write_until(count / float(rate))
        if count == 0:
            raise InputError(f"{path}: there are no frames to write; expected at least one.")
        container.mux(video.encode(None))
        if track is not None:
            track.finish()
    return count


def _configure(video: av.VideoStream, shape: tuple[int, ...]) -> None:
    video.height, video.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    video.pix_fmt = "yuv420p"
    context = video.codec_context
    context.gop_size = 50  # a key frame every two seconds at 25 frames/s, for seeking
    context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
    context.color_range = 1  # limited


def _to_frame(image: np.ndarray, index: int, rate: Fraction, converter: VideoReformatter) -> av.VideoFrame:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = converter.reformat(frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range="MPEG")
    frame.pts, frame.time_base = index, 1 / rate
    return frame


class _AudioTrack:
    """An AAC stream written in step with the frames, so that the muxer never has to buffer either."""

    def __init__(self, container: av.container.OutputContainer, samples: Samples, sample_rate: int) -> None:
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
        # Without the time stamp, decoders do not drop the 1024 priming samples of the encoder.
        frame.pts, frame.time_base = self.position, Fraction(1, self.sample_rate)
        self.container.mux(self.stream.encode(frame))
        self.position += len(chunk)
