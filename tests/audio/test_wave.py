"""Reading sound: every container and layout, no codec delay, one sentence for each bad input."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from expnet.audio.wave import is_silent, load_audio, write_wav
from expnet.errors import InputError


def speech_like(seconds: float = 2.0, rate: int = 16_000) -> np.ndarray:
    """Bursts of band-limited noise: a sharp autocorrelation peak, and easy for lossy codecs."""
    random = np.random.default_rng(0)
    count = int(seconds * rate)
    noise = np.convolve(random.normal(size=count), np.hanning(9) / 4.5, "same")
    envelope = (np.sin(2 * np.pi * 3 * np.arange(count) / rate) > 0) * 0.2
    return (noise * envelope).astype(np.float32)


def write_media(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    *,
    layout: str = "mono",
    offset: int = 0,
    video_at: int | None = None,
    options: dict[str, str] | None = None,
) -> None:
    """Mux samples (channels, S) with timestamps; ``video_at`` adds 25 fps video starting at that frame."""
    samples = np.atleast_2d(samples)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if video_at is not None:
            video = container.add_stream(
                "libx264", rate=25, width=32, height=32, pix_fmt="yuv420p", options={"g": "12"}
            )
            for index in range(25):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * index, np.uint8), format="rgb24")
                frame.pts, frame.time_base = index + video_at, Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        for start in range(0, samples.shape[1], 1024):
            chunk = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start + offset, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def shift(reference: np.ndarray, heard: np.ndarray) -> int:
    """By how many samples ``heard`` is late."""
    size = 2 * max(len(reference), len(heard))
    correlation = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size)))
    lag = int(correlation.argmax())
    return lag if lag < size // 2 else lag - size


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [
        ("mp4", "aac", 16_000),
        ("mp4", "aac", 48_000),
        ("m4a", "aac", 44_100),
        ("mkv", "aac", 16_000),
        ("mp3", "libmp3lame", 44_100),
        ("ogg", "libopus", 48_000),
        ("flac", "flac", 16_000),
        ("wav", "pcm_s16le", 8_000),
    ],
)
def test_no_codec_delay(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    reference = speech_like()
    positions = np.arange(int(2.0 * rate)) / rate * 16_000
    samples = np.interp(positions, np.arange(len(reference)), reference).astype(np.float32)
    write_media(tmp_path / f"a.{suffix}", samples, rate, codec)
    heard = load_audio(tmp_path / f"a.{suffix}")
    assert heard.dtype == np.float32
    assert abs(shift(reference, heard)) <= 1
    assert abs(len(heard) - len(reference)) <= 2048


def test_a_file_without_timestamps_is_known_to_come_late(tmp_path: Path) -> None:
    """Shows that the measurement above sees a delay: 300 samples of silence before the sound are found."""
    reference = speech_like()
    write_media(tmp_path / "a.mp4", np.concatenate([np.zeros(300, np.float32), reference]), 16_000, "aac")
    assert shift(reference, load_audio(tmp_path / "a.mp4")) == 300


@pytest.mark.parametrize("offset", [0, 3200])
@pytest.mark.parametrize("video_at", [0, 4])
def test_sample_zero_is_the_first_video_frame(tmp_path: Path, offset: int, video_at: int) -> None:
    reference = speech_like()
    write_media(tmp_path / "a.mp4", reference, 16_000, "aac", offset=offset, video_at=video_at)
    assert abs(shift(reference, load_audio(tmp_path / "a.mp4")) - (offset - video_at * 640)) <= 16


def test_a_pause_in_the_timestamps_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    burst = np.full((1, 8000), 0.5, np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for pts in (0, 24_000):
            frame = av.AudioFrame.from_ndarray((burst * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, pts, Fraction(1, 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard = load_audio(path)
    assert len(heard) == 32_000
    assert np.abs(heard[8100:23_900]).max() == 0.0
    assert heard[24_100:].min() > 0.49


def test_eight_bit_stereo_at_44100(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    time = np.arange(44_100) / 44_100
    left = np.sin(2 * np.pi * 440 * time)
    stereo = np.stack([left, np.zeros_like(left)], axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(1)
        file.setframerate(44_100)
        file.writeframes(np.round(stereo * 100 + 128).astype(np.uint8).tobytes())
    heard = load_audio(path)
    assert abs(len(heard) - 16_000) <= 1
    expected = 0.5 * 100 / 128 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(heard[500:15_000] - expected[500:15_000]).max() < 0.02


def test_resampling_keeps_an_impulse_in_place(tmp_path: Path) -> None:
    samples = np.zeros(48_000, np.float32)
    samples[24_000] = 0.9
    write_media(tmp_path / "a.wav", samples, 48_000, "pcm_s16le")
    assert int(np.abs(load_audio(tmp_path / "a.wav")).argmax()) == 8_000


def test_write_wav_round_trip(tmp_path: Path) -> None:
    samples = speech_like(0.5)
    write_wav(tmp_path / "a.wav", samples)
    assert np.abs(load_audio(tmp_path / "a.wav") - samples).max() <= 1.01 / 32768
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_silence_is_loaded_and_recognised(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(16_000, np.float32))
    silence = load_audio(tmp_path / "a.wav")
    assert is_silent(silence)
    assert not is_silent(speech_like())


def bad_input(folder: Path, kind: str) -> Path:
    path = folder / "bad.wav"
    if kind == "text":
        path = folder / "text.mp4"
        path.write_text("this is no film\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path = folder
    elif kind == "short":
        write_wav(path, np.zeros(1600, np.float32))
    elif kind == "nan":
        write_media(path, np.where(np.arange(16_000) == 777, np.nan, 0.1).astype(np.float32), 16_000, "pcm_f32le")
    elif kind == "mute video":
        path = folder / "mute.mp4"
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=25, width=32, height=32, pix_fmt="yuv420p")
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
            container.mux(video.encode(None))
    elif kind == "truncated":
        write_media(folder / "whole.mp4", speech_like(), 16_000, "aac")
        path = folder / "truncated.mp4"
        path.write_bytes((folder / "whole.mp4").read_bytes()[:4000])
    elif kind in ("half mp4", "half flac"):
        suffix = kind.split()[1]
        codec, options = {"mp4": ("aac", {"movflags": "faststart"}), "flac": ("flac", {})}[suffix]
        write_media(folder / f"whole.{suffix}", speech_like(4.0), 16_000, codec, options=options)
        whole = (folder / f"whole.{suffix}").read_bytes()
        path = folder / f"half.{suffix}"
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "playlist":
        write_wav(folder / "whole.wav", speech_like())
        path = folder / "list.mp3"
        path.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/secret.mp3\n#EXT-X-ENDLIST\n"
        )
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file"),
        ("folder", "not a file"),
        ("text", "cannot be decoded"),
        ("empty", "cannot be decoded"),
        ("truncated", "cannot be decoded"),
        ("half mp4", "cut short"),
        ("half flac", "cut short"),
        ("short", "0.10 s of audio"),
        ("nan", "not numbers"),
        ("mute video", "no audio stream"),
        ("playlist", "list.mp3"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, kind: str, words: str) -> None:
    path = bad_input(tmp_path, kind)
    with pytest.raises(InputError, match=words) as caught:
        load_audio(path)
    message = str(caught.value)
    assert str(path) in message
    assert message.endswith(".")
    assert "\n" not in message
    assert message.count(". ") == 0
    assert caught.value.exit_code == 2


def test_write_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_wav(tmp_path / "nowhere" / "a.wav", np.zeros(100, np.float32))


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_sample_formats_have_one_scale(tmp_path: Path, codec: str) -> None:
    samples = np.full((2, 16_000), 0.5, np.float32)
    samples[1] = 0.25
    write_media(tmp_path / "a.wav", samples, 16_000, codec, layout="stereo")
    heard = load_audio(tmp_path / "a.wav")
    assert len(heard) == 16_000
    np.testing.assert_allclose(heard, 0.375, atol=0.01)


def test_surround_is_mixed_down(tmp_path: Path) -> None:
    samples = np.zeros((6, 16_000), np.float32)
    samples[2] = 0.4  # the centre, where speech is
    write_media(tmp_path / "a.wav", samples, 16_000, "pcm_f32le", layout="5.1")
    heard = load_audio(tmp_path / "a.wav")
    assert len(heard) == 16_000
    assert 0.15 < heard[8000] <= 0.4
