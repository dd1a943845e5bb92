"""Video without a background: the opacity of frames, and files that hold it, WebM (VP9 and Opus) and PNG sequences."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from expnet.audio.wave import write_wav
from expnet.errors import InputError
from expnet.io.atomic import atomic_folder, atomic_path
from expnet.io.machine_faults import writing_failed
from expnet.io.media_file import media_url
from expnet.media.video_writer import FRAME_RATE, PROVENANCE, check_output

WEBM = ".webm"
SEQUENCE = ""
"""A path without a suffix is a folder of PNG files."""
SUFFIXES = (WEBM, SEQUENCE)
FRAME_NAME = "frame_{:06d}.png"
SOUND_NAME = "sound.wav"

_OPUS_RATE = 48_000
_OPUS_CHUNK = 960
_VP9 = {"crf": "18", "b": "0", "deadline": "realtime", "cpu-used": "5", "row-mt": "1", "auto-alt-ref": "0"}


def cut_out(
    on_black: Iterable[NDArray[np.uint8]], on_white: Iterable[NDArray[np.uint8]]
) -> Iterator[NDArray[np.uint8]]:
    """Recover opacity from the same frames rendered in front of a black and of a white background.

    A pixel of colour c and opacity a appears as a c on black and as a c + 255 (1 - a) on white, which determines both
    (Smith and Blinn, "Blue screen matting", 1996, triangulation).

    Args:
        on_black: (H, W, 3) uint8 frames.
        on_white: The same number of (H, W, 3) uint8 frames.

    Yields:
        (H, W, 4) uint8: straight (not premultiplied) colour, and opacity.
    """
    for black, white in zip(on_black, on_white, strict=True):
        difference = white.astype(np.float32) - black
        opacity = np.clip(255.0 - difference.mean(axis=-1, keepdims=True), 0.0, 255.0)  # (H, W, 1)
        colour = np.divide(black * np.float32(255.0), opacity, out=np.zeros_like(difference), where=opacity > 0)
        yield np.concatenate([np.clip(colour + 0.5, 0, 255), opacity + 0.5], axis=-1).astype(np.uint8)


def check_transparent_output(path: str | os.PathLike[str]) -> Path:
    """Make sure that a WebM file or a new folder of PNG files can be written before any work is spent on it.

    Raises:
        InputError: As for `expnet.media.video_writer.check_output`, or the folder exists already.
    """
    return check_output(path, suffixes=SUFFIXES)


def write_transparent(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float = FRAME_RATE,
    audio: NDArray[np.floating] | None = None,
    sample_rate: int = 16000,
    comment: str = PROVENANCE,
) -> int:
    """Write frames with opacity, and audio that begins with the first frame.

    A WebM file holds VP9 with an alpha channel and Opus, which browsers and OBS can show. A folder holds
    ``frame_000000.png``, ... and ``sound.wav``; frame k belongs to second k / fps. Either appears only when complete.

    Args:
        path: A ``.webm`` file, or a new folder (a path without a suffix).
        frames: (H, W, 4) uint8 with straight colour; consumed one at a time.
        fps: Frames/s.
        audio: Mono samples (S,) in [-1, 1], or None.
        sample_rate: Sample rate of the audio in Hz.
        comment: Provenance mark in the metadata of the file, or of every PNG file.

    Returns:
        The number of frames written.

    Raises:
        InputError: The output cannot be written, there are no frames, or one has another shape or type.
    """
    path = check_transparent_output(path)
    try:
        if path.suffix == SEQUENCE:
            with atomic_folder(path) as folder:
                return _write_sequence(folder, _checked(frames), audio, sample_rate, comment)
        with atomic_path(path) as partial:
            return _encode(partial, _checked(frames), fps, audio, sample_rate, comment)
    except OSError as error:
        raise writing_failed(path, error) from error


def _checked(frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames; raise InputError unless there is at least one and all have one shape and type."""
    shape: tuple[int, ...] | None = None
    for index, image in enumerate(frames):
        shape = shape or image.shape
        if image.dtype != np.uint8 or image.shape != shape or image.ndim != 3 or image.shape[2] != 4:
            raise InputError(
                f"frame {index} is {image.dtype} {image.shape}; expected uint8 (H, W, 4), all of one size."
            )
        yield image
    if shape is None:
        raise InputError("there are no frames to write; expected at least one.")


def _write_sequence(
    folder: Path,
    frames: Iterable[NDArray[np.uint8]],
    audio: NDArray[np.floating] | None,
    sample_rate: int,
    comment: str,
) -> int:
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Comment", comment)
    count = 0
    for image in frames:
        Image.fromarray(image).save(folder / FRAME_NAME.format(count), pnginfo=mark, compress_level=3)
        count += 1
    if audio is not None:
        write_wav(folder / SOUND_NAME, audio, sample_rate=sample_rate)
    return count


def _encode(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    audio: NDArray[np.floating] | None,
    sample_rate: int,
    comment: str,
) -> int:
    rate = Fraction(fps).limit_denominator(1001)
    count = 0
    with av.open(media_url(path), "w", format="webm") as container:
        container.metadata["comment"] = comment
        video = container.add_stream("libvpx-vp9", rate=rate, options=_VP9)
        video.pix_fmt = "yuva420p"
        video.metadata["alpha_mode"] = "1"  # without it players ignore the alpha channel
        audio_packets: Iterator[list[av.Packet]] = iter(())
        if audio is not None:
            audio_packets = _audio_packets(
                container.add_stream("libopus", rate=_OPUS_RATE, layout="mono"), audio, sample_rate
            )
        converter = VideoReformatter()  # no other process waits for its threads, see read_video
        for image in frames:
            if count == 0:
                video.height, video.width = image.shape[0] + image.shape[0] % 2, image.shape[1] + image.shape[1] % 2
            container.mux(video.encode(_to_frame(image, count, rate, converter)))
            count += 1
            # Audio is interleaved with the frames, so that players find both in one place.
            for packets in islice(audio_packets, _chunks_between(count - 1, count, rate)):
                container.mux(packets)
        container.mux(video.encode(None))
        for packets in audio_packets:
            container.mux(packets)
    return count


def _chunks_between(first: int, last: int, rate: Fraction) -> int:
    """Return how many audio chunks begin between two frames."""
    begun = [int(frame / rate * _OPUS_RATE / _OPUS_CHUNK) for frame in (first, last)]
    return begun[1] - begun[0]


def _to_frame(image: NDArray[np.uint8], index: int, rate: Fraction, converter: VideoReformatter) -> av.VideoFrame:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba")
    frame = converter.reformat(frame, format="yuva420p", dst_colorspace=Colorspace.ITU709, dst_color_range="MPEG")
    frame.pts, frame.time_base = index, 1 / rate
    return frame


def _audio_packets(stream: av.AudioStream, audio: NDArray[np.floating], sample_rate: int) -> Iterator[list[av.Packet]]:
    """Encode the audio at 48 kHz in chunks of 20 ms, with time stamps from zero."""
    clean = np.clip(np.nan_to_num(np.asarray(audio, np.float32)), -1.0, 1.0)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(clean[None]), format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_OPUS_RATE, frame_size=_OPUS_CHUNK)
    position = 0
    for piece in (*resampler.resample(frame), *resampler.resample(None)):
        piece.pts, piece.time_base = position, Fraction(1, _OPUS_RATE)
        position += piece.samples
        yield stream.encode(piece)
    yield stream.encode(None)
