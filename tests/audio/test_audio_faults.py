"""Recordings that other tools read wrongly: fast clocks, silent first tracks, antiphase, legacy tags, odd names."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from expnet.audio.wave import is_silent, load_audio, write_wav
from expnet.media.video_reader import probe_video

RATE = 16_000


def tone(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def with_clicks(seconds: int, rate: int) -> np.ndarray:
    samples = np.zeros(seconds * rate, np.float32)
    for second in range(seconds):
        samples[second * rate : second * rate + rate // 100] = 0.8
    return samples


@pytest.mark.parametrize("clock", [0.99, 1.0, 1.01])
def test_audio_lies_at_its_time_stamps_whichever_way_the_clock_drifts(tmp_path: Path, clock: float) -> None:
    """The recorder's clock ran at ``1 / clock`` of its nominal rate: a second of samples took ``clock`` seconds."""
    seconds = 30
    samples = with_clicks(seconds, RATE)
    with av.open(str(tmp_path / "drift.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in range(0, len(samples), 800):
            chunk = (samples[None, start : start + 800] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(chunk, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            for packet in stream.encode(frame):
                packet.pts = packet.dts = round(packet.pts * clock)
                container.mux(packet)
    read = load_audio(tmp_path / "drift.mkv")
    assert len(read) / RATE == pytest.approx(seconds * clock, abs=0.06)
    loud = np.abs(read) > 0.4
    clicks = np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]])) / RATE
    clicks = clicks[np.concatenate([[True], np.diff(clicks) > 0.5])]
    assert len(clicks) == seconds
    assert np.abs(clicks - np.arange(seconds) * clock).max() <= 0.07  # 50 ms, and one packet


def test_the_default_track_is_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        silent = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        speech = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        silent.disposition, speech.disposition = 0, av.stream.Disposition.default
        for stream, samples in ((silent, np.zeros(RATE, np.float32)), (speech, tone())):
            frame = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert not is_silent(load_audio(tmp_path / "two.mkv"))


@pytest.mark.parametrize("sample_format", ["s16", "fltp"])
def test_channels_in_antiphase_do_not_cancel(tmp_path: Path, sample_format: str) -> None:
    codec = {"s16": "pcm_s16le", "fltp": "aac"}[sample_format]
    stereo = np.stack([tone(), -tone()])
    with av.open(str(tmp_path / "phase.mkv"), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="stereo")
        for start in range(0, RATE, 1000):
            part = np.ascontiguousarray(stereo[:, start : start + 1000])
            if sample_format == "s16":
                part = np.ascontiguousarray((part * 32767).astype(np.int16).T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(part, format=sample_format, layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read = load_audio(tmp_path / "phase.mkv")
    assert np.sqrt(np.mean(np.square(read))) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


def test_titles_in_legacy_encodings_do_not_matter(tmp_path: Path) -> None:
    """Latin-1 and Shift-JIS titles, as old recorders write them."""
    write_wav(tmp_path / "plain.wav", tone())
    plain = (tmp_path / "plain.wav").read_bytes()
    for name, title in (("latin", "Überraschung".encode("latin-1")), ("japanese", "日本語".encode("shift-jis"))):
        body = b"INAM" + len(title).to_bytes(4, "little") + title + b"\0" * (len(title) % 2)
        chunk = b"LIST" + (4 + len(body)).to_bytes(4, "little") + b"INFO" + body
        size = (int.from_bytes(plain[4:8], "little") + len(chunk)).to_bytes(4, "little")
        (tmp_path / f"{name}.wav").write_bytes(plain[:4] + size + plain[8:12] + chunk + plain[12:])
        np.testing.assert_array_equal(load_audio(tmp_path / f"{name}.wav"), load_audio(tmp_path / "plain.wav"))


@pytest.mark.parametrize("name", ["2024-05-01T12:30:00.wav", "http:x.wav", "file:y.wav", "a#b é.wav"])
def test_any_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(name, tone())
    assert len(load_audio(name)) == RATE


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    path = Path(str(tmp_path) + "/" + b"caf\xe9.wav".decode("utf-8", "surrogateescape"))
    write_wav(path, tone())
    assert len(load_audio(path)) == RATE


def test_a_video_with_a_legacy_title_and_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with av.open(str(tmp_path / "x.avi"), "w") as container:
        container.metadata["title"] = "TITLE-TITLE"
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    Path("12:30.avi").write_bytes(Path("x.avi").read_bytes().replace(b"TITLE-TITLE", b"\xe9\xff\x80bc-\xe4\xf6\xfc!!"))
    assert probe_video("12:30.avi").size == (32, 32)
