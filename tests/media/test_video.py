"""Video in and out: exact times, rotation, sound in step, and nothing left behind by a failure."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from skimage import data

from expnet.errors import InputError
from expnet.media.transparent_video import write_transparent
from expnet.media.video_reader import PROVENANCE, check_output, probe_video, read_video, write_video

BITS = 10


def coded_frame(index: int, *, height: int = 64, width: int = 96) -> np.ndarray:
    """A picture that carries its own number: ten black or white stripes."""
    image = np.full((height, width, 3), 90, np.uint8)
    for bit in range(BITS):
        image[8:-8, 8 * (bit + 1) : 8 * (bit + 2)] = 255 * (index >> bit & 1)
    return image


def decode_number(image: np.ndarray) -> int:
    return sum(int(image[32, 8 * (bit + 1) + 4].mean() > 128) << bit for bit in range(BITS))


def write_with_times(path: Path, times: list[Fraction], *, rotation: int = 0) -> None:
    """Write coded frames at given times, straight through PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 3000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(coded_frame(index), format="rgb24")
            frame.pts, frame.time_base = int(time * 3000), Fraction(1, 3000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_round_trip_keeps_every_frame_and_its_order(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    assert write_video(path, (coded_frame(k) for k in range(60))) == 60
    assert [decode_number(image) for image in read_video(path)] == list(range(60))
    info = probe_video(path)
    assert (info.frames, info.fps, info.size, info.rotation, info.has_audio) == (60, 25.0, (64, 96), 0, False)
    assert info.duration == pytest.approx(2.4)


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(24000, 1001), Fraction(50), Fraction(15), Fraction(60)])
def test_any_rate_is_resampled_to_the_nearest_frame(tmp_path: Path, rate: Fraction) -> None:
    path = tmp_path / "clip.mp4"
    times = [k / rate for k in range(int(3 * rate))]
    write_with_times(path, times)
    numbers = [decode_number(image) for image in read_video(path)]
    assert abs(len(numbers) - 75) <= 1
    for k, number in enumerate(numbers):
        assert abs(float(times[number]) - k / 25) <= 0.5 / float(rate) + 2e-3


def test_variable_rate_follows_the_time_stamps(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    times = [Fraction(t, 1000) for t in (0, 40, 400, 440, 455, 470, 1000)]
    write_with_times(path, times)
    numbers = [decode_number(image) for image in read_video(path)]
    assert numbers[:2] == [0, 1]
    assert numbers[4] == 1  # 160 ms: the frame at 40 ms is nearer than the one at 400 ms
    assert numbers[7] == 2  # 280 ms
    assert numbers[25] == 6


def test_rotation_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_with_times(path, [Fraction(k, 25) for k in range(5)], rotation=90)
    info = probe_video(path)
    image = next(read_video(path))
    assert info.size == (96, 64)
    assert info.rotation == 90
    assert image.shape == (96, 64, 3)
    upright = np.rot90(coded_frame(0)).astype(float)
    assert np.abs(image - upright).mean() < 6


def test_phone_matrix_turns_clockwise(tmp_path: Path) -> None:
    """A phone held upright writes the matrix (0, 1; -1, 0): the picture must be turned by 90 degrees clockwise."""
    path = tmp_path / "clip.mp4"
    write_with_times(path, [Fraction(k, 25) for k in range(5)])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    values = [0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30]
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)
    image = next(read_video(path)).astype(float)
    assert np.abs(image - np.rot90(coded_frame(0), -1)).mean() < 6


def test_pixels_are_made_square(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(coded_frame(0), format="rgb24")))
        container.mux(stream.encode(None))
    assert probe_video(path).size == (64, 128)
    assert next(read_video(path)).shape == (64, 128, 3)


def test_max_side_scales_down_only(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, [coded_frame(k) for k in range(3)])
    assert next(read_video(path, max_side=48)).shape == (32, 48, 3)
    assert next(read_video(path, max_side=500)).shape == (64, 96, 3)


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_sound_is_in_step(tmp_path: Path, sample_rate: int) -> None:
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0).normal(0, 0.2, 2 * sample_rate).astype(np.float32)
    audio = noise * (np.arange(2 * sample_rate) // (sample_rate // 5) % 2)
    write_video(path, (coded_frame(k) for k in range(50)), audio=audio, sample_rate=sample_rate)
    assert probe_video(path).has_audio
    with av.open(str(path)) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    spectrum = np.fft.rfft(decoded, 2**18) * np.conj(np.fft.rfft(audio, 2**18))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    assert min(lag, 2**18 - lag) <= 1
    assert len(decoded) >= len(audio)


def test_odd_sizes_are_padded(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    image = coded_frame(5, height=63, width=95)
    write_video(path, [image] * 3)
    back = next(read_video(path))
    assert back.shape == (64, 96, 3)
    assert np.abs(back[:63, :95].astype(float) - image).mean() < 4


def test_colours_survive(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (200, 40, 30), (30, 180, 60), (40, 60, 210)
    write_video(path, [image] * 3)
    back = next(read_video(path)).astype(int)
    assert all(np.abs(back[32, x] - image[32, x]).max() <= 4 for x in (16, 48, 80))


def test_the_file_says_that_it_is_synthetic(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, [coded_frame(0)])
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == PROVENANCE


def test_same_input_same_bytes(tmp_path: Path) -> None:
    audio = np.sin(np.arange(16000) / 20).astype(np.float32)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, (coded_frame(k) for k in range(25)), audio=audio)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("width", [96, 224, 256])
def test_a_file_does_not_depend_on_unwritten_memory(
    width: int, tmp_path: Path, unwritten_memory: Callable[[int], None]
) -> None:
    picture = data.astronaut()
    images = [np.ascontiguousarray(picture[20:244, 3 * k : 3 * k + width]) for k in range(24)]
    transparent = [np.dstack([image, image[..., :1]]) for image in images]
    audio = np.sin(np.arange(16000) / 20).astype(np.float32)
    written = set()
    for byte in (0, 0xFE, 0x01, 0x80):
        unwritten_memory(byte)
        write_video(tmp_path / "a.mp4", images, audio=audio)
        write_transparent(tmp_path / "a.webm", transparent, audio=audio)
        decoded = np.stack(list(read_video(tmp_path / "a.mp4", max_side=100)))
        with av.open(str(tmp_path / "a.webm")) as container:  # every Matroska file has an identifier of its own
            packets = b"".join(bytes(packet) for packet in container.demux())
        written.add(((tmp_path / "a.mp4").read_bytes(), packets, decoded.tobytes()))
    assert len(written) == 1


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("old")

    def failing():
        yield coded_frame(0)
        raise RuntimeError("renderer failed")

    with pytest.raises(RuntimeError, match="renderer failed"):
        write_video(path, failing())
    with pytest.raises(InputError, match="frame 1"):
        write_video(path, [coded_frame(0), coded_frame(1, height=32)])
    with pytest.raises(InputError, match="no frame"):
        write_video(path, [])
    assert [item.name for item in tmp_path.iterdir()] == ["clip.mp4"]
    assert path.read_text() == "old"


def test_outputs_are_checked_before_work(tmp_path: Path) -> None:
    drawn = []

    def frames():
        drawn.append(1)
        yield coded_frame(0)

    for bad in (tmp_path / "missing" / "clip.mp4", tmp_path / "clip.txt", tmp_path):
        with pytest.raises(InputError):
            write_video(bad, frames())
    assert not drawn
    with pytest.raises(InputError, match="cannot write"):
        check_output("/proc/clip.mp4")


def faststart_bytes(tmp_path: Path, suffix: str = ".mp4") -> bytes:
    rng = np.random.default_rng(0)
    path = tmp_path / f"whole{suffix}"
    write_video(path, (rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(75)))
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_truncated_files_are_refused(tmp_path: Path, share: float, suffix: str) -> None:
    data = faststart_bytes(tmp_path, suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"cut\.m"):
        list(read_video(path))


def test_what_is_not_a_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is not a video\n" * 100)
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for path in (text, empty, playlist, sound, tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(InputError, match=path.name):
            list(read_video(path))
        with pytest.raises(InputError, match=path.name):
            probe_video(path)


def test_reading_streams(tmp_path: Path) -> None:
    """The first frame is there before the rest is read: a file that is cut later on still starts."""
    data = faststart_bytes(tmp_path)
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: int(len(data) * 0.8)])
    assert next(read_video(path)).shape == (64, 96, 3)
