"""Video files out: H.264 and AAC in one file, in sync, complete or not there at all.

The sound carries explicit time stamps: without them a 16 kHz track comes back 1024 samples (64 ms, 1.6 frames) late.
"""

import os
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from expnet.audio.stored_samples import Samples
from expnet.errors import InputError

FRAME_RATE = 25.0
PROVENANCE = "made with expnet (synthetic video)"

_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_AUDIO_CHUNK = 1024


def check_output(path: str | os.PathLike[str], *, suffixes: Iterable[str] = _CONTAINERS, besides: str = "") -> Path:
    """Make sure that a file can be written at ``path`` before any work is spent on it.

    Args:
        path: to be written.
        suffixes: that it may have.
        besides: what else the caller would take, for the message about a suffix that is not known.

    Raises:
        InputError: the folder does not exist or is read-only, the path is a folder, or the suffix is not known.
    """
    path = Path(path)
    suffixes = list(suffixes)
    if path.suffix.lower() not in suffixes:
        known = ", ".join(suffixes)
        raise InputError(f"{path}: the output's suffix {path.suffix!r} is not known; use one of {known}{besides}.")
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
    audio: Samples | None = None,
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
        # The stamp matters: without it the decoder does not drop the encoder's 1024 priming samples.
        frame.pts, frame.time_base = self.position, Fraction(1, self.sample_rate)
        self.container.mux(self.stream.encode(frame))
        self.position += len(chunk)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
