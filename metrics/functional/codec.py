"""The lossy steps between a video and the network in published lip-sync protocols, in memory with PyAV.

The original scripts call ``ffmpeg`` several times and read JPEG files. These steps affect the scores more than any
detail of the network: JPEG at FFmpeg's default rate control alone changes frames by 5 grey levels. Rate-controlled
encoders differ between FFmpeg versions, so no two installations agree to the bit; ``benchmarks/syncnet.py --ffmpeg``
prints the difference between these functions and a given ``ffmpeg``.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from typing import cast

import av
import numpy as np
import torch
from av.audio.stream import AudioStream
from av.video.codeccontext import VideoCodecContext
from PIL import Image
from torch import Tensor

from expnet.metrics.functional.cepstra import SAMPLE_RATE, pulse_code

FRAME_RATE = 25


@dataclass(frozen=True)
class VideoCodec:
    """One lossy video step.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        options: Options of the encoder; ``qmin`` and ``qmax`` fix the quantiser, as ``-qscale`` does.
        pixels: FFmpeg's name of the pixel format.
    """

    encoder: str
    options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"


_REPEATABLE = {"x264-params": "cpu-independent=1"}
"""x264's macroblock tree in C. Its AVX-512 code reads memory that nobody wrote where the width is no multiple of 256
pixels, so that two encodings of the same frames differ now and then; and every CPU would have results of its own."""

VIDEO_CODECS = {
    # `ffmpeg -i clip -f image2 %06d.jpg`: rate control aims at 200 kb/s, whatever the frame size
    "jpeg": VideoCodec("mjpeg", pixels="yuvj420p"),
    # `ffmpeg -qscale:v 2 -f image2`
    "jpeg_q2": VideoCodec("mjpeg", {"qmin": "2", "qmax": "2"}, "yuvj420p"),
    # `ffmpeg -qscale:v 2 -r 25 video.avi`
    "mpeg4_q2": VideoCodec("mpeg4", {"qmin": "2", "qmax": "2"}),
    # `ffmpeg -qscale:v 2 video.mp4`: x264 ignores qscale and keeps its default constant rate factor of 23
    "h264": VideoCodec("libx264", {"crf": "23", **_REPEATABLE}),
    # `cv2.VideoWriter(fourcc XVID or mp4v)`: FFmpeg's MPEG-4 encoder with OpenCV's settings for 224 x 224, 25 frames/s
    "opencv_mpeg4": VideoCodec("mpeg4", {"b": str(25 * 224 * 224), "bt": str(25 * 224 * 224), "qmin": "3", "g": "12"}),
}
AUDIO_CODECS = {"mp3": ("mp3", "libmp3lame"), "aac": ("mp4", "aac")}
"""Audio steps: FFmpeg's names of container and encoder, which runs at its default bit rate."""


def recode_video(frames: Tensor, steps: Iterable[str]) -> Tensor:
    """Encode and decode a clip of 25 frames/s with each step in turn.

    Between two steps, frames stay in the codec's colour space, as between two calls of ``ffmpeg``. A final JPEG step is
    decoded by libjpeg, as OpenCV does.

    Args:
        frames: (T, 3, H, W) uint8 RGB. An odd last row or column is dropped, since the codecs need even sizes.
        steps: Keys of `VIDEO_CODECS`.

    Returns:
        Decoded frames of the same shape, or of the next smaller even size.
    """
    codecs = [VIDEO_CODECS[step] for step in steps]
    if not codecs or len(frames) == 0:
        return frames
    height, width = frames.shape[-2:]
    video = _video_frames(frames[..., : height // 2 * 2, : width // 2 * 2])
    for codec in codecs[:-1]:
        video = _decode(_encode(video, codec), codec)
    packets = _encode(video, codecs[-1])
    if codecs[-1].encoder == "mjpeg":
        arrays = (np.asarray(Image.open(io.BytesIO(bytes(packet)))) for packet in packets)
    else:
        arrays = (frame.to_ndarray(format="rgb24") for frame in _decode(packets, codecs[-1]))
    recoded = torch.from_numpy(np.stack(list(arrays)))  # (T, H, W, 3)
    return recoded.permute(0, 3, 1, 2).to(frames.device)


def recode_audio(audio: Tensor, steps: Iterable[str]) -> Tensor:
    """Encode and decode a recording with each step in turn, without a delay.

    In the files of the original scripts, audio starts late by the encoder's delay if the container does not store it:
    MP3 in AVI by 1105 samples (69 ms at 16 kHz, 25 ms at 44.1 kHz), for which FFmpeg compensates by holding the first
    frame. This depends on the container and on FFmpeg's version, and is not reproduced.

    Args:
        audio: Mono audio at 16 kHz, (S,) floating point in [-1, 1].
        steps: Keys of `AUDIO_CODECS`.

    Returns:
        Decoded audio, (S,) float32; ``audio`` itself without steps.
    """
    for step in steps:
        container, encoder = AUDIO_CODECS[step]
        audio = _recode_in_memory(audio, container, encoder)
    return audio


def _video_frames(frames: Tensor) -> Iterator[av.VideoFrame]:
    """Convert the frames (T, 3, H, W) to numbered frames of PyAV."""
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy()), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
        yield frame


def _encode(frames: Iterator[av.VideoFrame], codec: VideoCodec) -> Iterator[av.Packet]:
    first = next(frames)
    encoder = cast(VideoCodecContext, av.CodecContext.create(codec.encoder, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = first.width, first.height, codec.pixels
    encoder.time_base, encoder.framerate = Fraction(1, FRAME_RATE), Fraction(FRAME_RATE)
    encoder.thread_count = 1  # rate control must not depend on the number of cores
    encoder.options = dict(codec.options)
    for frame in chain([first], frames):
        converted = frame.reformat(format=codec.pixels, interpolation="BICUBIC")
        converted.pts, converted.time_base = frame.pts, Fraction(1, FRAME_RATE)
        converted.pict_type = 0  # do not inherit the key frames of the previous step
        yield from encoder.encode(converted)
    yield from encoder.encode(None)


def _decode(packets: Iterator[av.Packet], codec: VideoCodec) -> Iterator[av.VideoFrame]:
    """Decode packets to frames in display order."""
    name = "h264" if codec.encoder == "libx264" else codec.encoder
    decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    for packet in packets:
        yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _recode_in_memory(audio: Tensor, container: str, encoder: str) -> Tensor:
    """Write and read a file in memory; the decoder removes the encoder's padding."""
    samples = pulse_code(audio).to(torch.int16).cpu().numpy()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = cast(AudioStream, output.add_stream(encoder, rate=SAMPLE_RATE, layout="mono"))
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        output.mux([*stream.encode(frame), *stream.encode(None)])
    buffer.seek(0)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    with av.open(buffer, "r") as source:
        pieces = [piece.to_ndarray()[0] for frame in source.decode(audio=0) for piece in resampler.resample(frame)]
    decoded = np.concatenate(pieces)[: len(samples)]
    decoded = np.pad(decoded, (0, len(samples) - len(decoded)))
    return torch.from_numpy(decoded.astype(np.float32) / 32768.0).to(audio.device)
