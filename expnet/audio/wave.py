"""Reading speech from any media file as 16 kHz mono samples, and writing wav files.

Sample 0 is the time of the first video frame (in a file without video, the start of the audio), so that video frame
``i`` always goes with samples ``640 i ... 640 i + 639``. The time stamps and skip marks of the stream are honoured,
which removes the encoder's delay: a file written with time stamps is read back without any shift.
"""

import logging
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from expnet.audio.stored_samples import Samples
from expnet.errors import InputError
from expnet.io.atomic import atomic_path
from expnet.io.machine_faults import is_machine_fault, machine_error, writing_failed
from expnet.io.media_file import FileClock, open_media

_log = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
MINIMUM_SECONDS = 0.2
SILENCE_PEAK = 1e-3
"""A recording whose peak stays below this share of full scale (-60 dB) counts as silent."""

_BLOCK = 60 * SAMPLE_RATE
_DRIFT_SECONDS = 0.05  # smaller differences between a time stamp and the sample count are rounding
_LONGEST_GAP_SECONDS = 600.0  # a larger jump is a broken time stamp, not a pause
_CANCELLATION = 0.01  # a mix with a smaller share of the loudest channel's power has cancelled: channels in antiphase


def load_audio(path: str | os.PathLike[str], *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read the audio of a media file.

    Any container, codec, rate and channel layout that FFmpeg knows is accepted; channels are mixed down to mono.
    Gaps between time stamps become silence, so that audio that starts late stays late.

    Args:
        path: An audio file, or a video file with an audio stream.
        sample_rate: Samples per second of the result.

    Returns:
        float32 array (S,), values in [-1, 1].

    Raises:
        InputError: There is no such file, it is not a media file, it has no audio stream, it cannot be decoded, it was
            cut short, it holds NaN or infinite samples, or it is shorter than 0.2 s.
    """
    samples = np.concatenate([np.zeros(0, np.float32), *read_blocks(path, sample_rate=sample_rate)])
    check_length(path, len(samples), sample_rate)
    return samples


def read_blocks(path: str | os.PathLike[str], *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Yield the samples of `load_audio` in blocks (S,) of about a second, in constant memory.

    Raises:
        InputError: As for `load_audio`, except that the length is not checked, see `check_length`.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file; give the path of an audio or video file.")
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of an audio or video file.")
    try:
        with open_media(path) as container:
            stream = container.streams.best("audio")  # the default track, if one is marked
            if not isinstance(stream, AudioStream):
                raise InputError(f"{path} has no audio stream; give a file with audio.")
            count = broken = 0
            for block in _resampled(container, stream, sample_rate):
                count += len(block)
                broken += int((~np.isfinite(block)).sum())
                yield np.clip(block, -1.0, 1.0).astype(np.float32, copy=False)  # lossy codecs overshoot
            declared = _declared_seconds(container, stream)
    except PermissionError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    except (av.FFmpegError, ValueError, OSError) as error:
        if is_machine_fault(error):
            raise machine_error(error) from error
        raise InputError(
            f"{path} cannot be decoded as audio ({_reason(error)}); give a complete media file such as wav, mp3 or mp4."
        ) from error
    if count / sample_rate < 0.95 * declared - 0.5:
        raise InputError(
            f"{path} is cut short: it should hold {declared:.1f} s of audio but holds {count / sample_rate:.1f} s; "
            "copy or download it again."
        )
    if broken:
        raise InputError(
            f"{path} holds samples that are not numbers (NaN or infinite, {broken / count:.2%} of them); export the "
            "audio again."
        )


def check_length(path: str | os.PathLike[str], samples: int, sample_rate: int = SAMPLE_RATE) -> None:
    """Refuse a recording of less than 0.2 s.

    Raises:
        InputError: The recording is shorter.
    """
    if samples < MINIMUM_SECONDS * sample_rate:
        raise InputError(
            f"{path} holds {samples / sample_rate:.2f} s of audio, and at least {MINIMUM_SECONDS} s is needed; "
            "give a longer recording."
        )


def is_silent(samples: Samples) -> bool:
    """Return whether a recording never rises above -60 dB of full scale; an empty one is silent."""
    starts = range(0, len(samples), _BLOCK)
    return all(float(np.abs(samples[start : start + _BLOCK]).max()) < SILENCE_PEAK for start in starts)


def write_wav(path: str | os.PathLike[str], samples: np.ndarray, *, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono samples (S,) in [-1, 1] as a 16-bit wav file, atomically.

    Raises:
        InputError: The folder does not exist or cannot be written to.
    """
    path = Path(path)
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(f"write_wav takes mono samples (S,), received shape {samples.shape}")
    integers = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    try:
        with atomic_path(path) as partial, wave.open(str(partial), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(sample_rate)
            wav.writeframes(integers.tobytes())
    except OSError as error:
        raise writing_failed(path, error) from error


def _resampled(container: InputContainer, stream: AudioStream, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield the samples of the stream at ``sample_rate`` in pieces."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
    used = False
    for rate, mono in _in_blocks(_on_time(container, stream)):
        if rate == sample_rate and not used:
            yield mono
            continue
        frame = av.AudioFrame.from_ndarray(mono[None], format="flt", layout="mono")
        frame.sample_rate = rate
        used = True
        for out in resampler.resample(frame):
            yield out.to_ndarray()[0]
    if used:
        for out in resampler.resample(None):
            yield out.to_ndarray()[0]


def _in_blocks(pieces: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """Join pieces of about 1000 samples into blocks of a second, since every call into FFmpeg has a fixed cost."""
    held: list[np.ndarray] = []
    rate = 0
    for rate, piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= rate:
            yield rate, np.concatenate(held)
            held = []
    if held:
        yield rate, np.concatenate(held)


def _on_time(container: InputContainer, stream: AudioStream) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (rate, mono samples at that rate) placed by their time stamps, from time zero of the file.

    Where the time stamps say that more time has passed than there are samples, silence is inserted; where they say less
    (the recorder's audio clock ran fast), samples are left out.
    """
    origin = _origin(container)
    clock = FileClock()
    rate = 0
    position = 0  # samples yielded so far, at the rate of the stream
    for frame in _decoded(container, stream, clock):
        if rate not in (0, frame.sample_rate):
            raise ValueError("its sample rate changes within the file")
        rate = frame.sample_rate
        time = clock.time(frame, stream.index)
        if origin is None:
            origin = time or 0.0
        gap = 0 if time is None else round((time - origin) * rate) - position
        mono = _mono(frame)
        tolerance = _DRIFT_SECONDS * rate if position else 0
        if tolerance < gap < _LONGEST_GAP_SECONDS * rate:
            mono = np.concatenate([np.zeros(gap, np.float32), mono])
        elif gap < -tolerance and (position == 0 or gap > -_LONGEST_GAP_SECONDS * rate):
            mono = mono[-gap:]  # before the first video frame, or from a clock that ran fast
        position += len(mono)
        if len(mono):
            yield rate, mono


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """Return the mean of the channels of a decoded frame as float32 (S,) in [-1, 1].

    Surround audio goes through FFmpeg's stereo downmix first. FFmpeg's own conversion of stereo to mono in floating
    point is 3 dB louder than the mean and clips.
    """
    channels = frame.layout.nb_channels
    if channels > 2:
        frame.pts = None
        parts = av.AudioResampler(format="fltp", layout="stereo", rate=frame.sample_rate).resample(frame)
        stereo = np.concatenate([part.to_ndarray() for part in parts], axis=1)
        return _mixed(stereo, stereo.mean(axis=0))
    values = frame.to_ndarray()  # (channels, S), or (1, S * channels) where the format interleaves them
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype == np.uint8:
        return (values.mean(axis=0, dtype=np.float32) - 128.0) / 128.0
    full_scale = 2.0 ** (8 * values.dtype.itemsize - 1) if values.dtype.kind == "i" else 1.0
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return (_mixed(values, mean) if channels == 2 else mean) / np.float32(full_scale)


def _mixed(channels: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the mean of two channels, or the louder one where they cancel because one has the wrong polarity."""
    power = np.square(channels, dtype=np.float64).mean(axis=1)
    if np.square(mean, dtype=np.float64).mean() >= _CANCELLATION * power.max():
        return mean
    return channels[int(power.argmax())].astype(np.float32)


def _origin(container: InputContainer) -> float | None:
    """Return the time of the first video frame in seconds; None for a file without video (cover art does not count)."""
    for video in container.streams.video:
        picture = bool(video.disposition & av.stream.Disposition.attached_pic)
        if not picture and video.start_time is not None and video.time_base is not None:
            return float(video.start_time * video.time_base)
    return None


def _declared_seconds(container: InputContainer, stream: AudioStream) -> float:
    """Return the stream's length according to the header; 0 if there is none or FFmpeg estimates it (wav, mp3)."""
    exact = {"mov", "flac"} & set(container.format.name.split(","))
    if not exact or stream.duration is None or stream.time_base is None:
        return 0.0
    return float(stream.duration * stream.time_base)


def _decoded(container: InputContainer, stream: AudioStream, clock: FileClock) -> Iterator[av.AudioFrame]:
    """Decode packet by packet; damaged packets become silence and are reported once."""
    damaged = 0
    good = 0
    failure: av.FFmpegError | None = None
    for packet in clock.demux(container):
        if packet.stream.index != stream.index:
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damaged += 1
            failure = error
            continue
        good += len(frames)
        yield from cast(list[av.AudioFrame], frames)
    if failure is not None and good == 0:
        raise failure
    if damaged:
        _log.warning("%s: %d damaged audio packets were replaced by silence.", container.name, damaged)


def _reason(error: Exception) -> str:
    """Return FFmpeg's own words, without the path that it repeats."""
    return str(getattr(error, "strerror", None) or error).split(":")[0]
