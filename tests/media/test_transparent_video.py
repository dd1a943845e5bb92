"""Opacity: found again from two backgrounds, kept by WebM and PNG, and in step with the sound."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from skimage import io

from expnet.audio.wave import load_audio
from expnet.errors import InputError
from expnet.media.transparent_video import cut_out, write_transparent
from expnet.media.video_writer import PROVENANCE


def disc(index: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """An orange disc with a soft edge that moves to the right."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(rows - 32, columns - 30 - index)
    opacity = np.clip((22 - distance) / 4, 0, 1)[..., None]
    return np.concatenate([np.broadcast_to([230, 120, 40], (*size, 3)), 255 * opacity], axis=-1).astype(np.uint8)


def laid_on(image: np.ndarray, value: int) -> np.ndarray:
    opacity = image[..., 3:] / 255
    return (image[..., :3] * opacity + value * (1 - opacity) + 0.5).astype(np.uint8)


def test_two_backgrounds_tell_colour_and_opacity():
    frames = [disc(index) for index in range(3)]
    cut = list(cut_out([laid_on(one, 0) for one in frames], [laid_on(one, 255) for one in frames]))
    for image, expected in zip(cut, frames, strict=True):
        assert np.abs(image[..., 3].astype(int) - expected[..., 3]).max() <= 2
        seen = expected[..., 3] > 40
        assert np.abs(image[..., :3].astype(int) - expected[..., :3])[seen].max() <= 6
    with pytest.raises(ValueError, match="shorter"):
        list(cut_out([laid_on(frames[0], 0)], []))


def test_webm_keeps_opacity_and_colour(tmp_path: Path):
    path = tmp_path / "disc.webm"
    assert write_transparent(path, (disc(k) for k in range(25))) == 25
    decoder = av.CodecContext.create("libvpx-vp9", "r")  # the one that reads the alpha channel
    with av.open(str(path)) as container:
        assert container.streams.video[0].metadata["ALPHA_MODE"] == "1"
        assert PROVENANCE in container.metadata.values()
        packets = list(container.demux(video=0))
    frames = [frame for packet in packets if packet.size for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    assert len(frames) == 25
    back = frames[10].to_ndarray(format="rgba")
    expected = disc(10)
    assert back.shape == expected.shape
    assert np.abs(back[..., 3].astype(int) - expected[..., 3]).mean() < 4
    inside = expected[..., 3] == 255
    assert np.abs(back[..., :3].astype(int) - expected[..., :3])[inside].mean() < 8


@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_webm_sound_and_pictures_begin_together_and_last_as_long(tmp_path: Path, fps: float):
    rate = 16000
    click = np.zeros(2 * rate, np.float32)
    click[rate : rate + 800] = np.sin(np.arange(800) * 0.4) * 0.8  # a beep from second 1 on
    path = tmp_path / "beep.webm"
    write_transparent(path, (disc(0) for _ in range(int(2 * fps))), fps=fps, audio=click, sample_rate=rate)
    with av.open(str(path)) as container:
        times = [float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.size]
    np.testing.assert_allclose(times, np.arange(int(2 * fps)) / fps, atol=0.001)
    heard = load_audio(path)
    assert abs(len(heard) / rate - 2.0) < 0.03
    assert abs(np.argmax(np.abs(heard) > 0.2) / rate - 1.0) < 0.01


def test_a_folder_of_pictures_with_its_sound(tmp_path: Path):
    sound = np.sin(np.arange(16000) * 0.1).astype(np.float32) * 0.5
    assert write_transparent(tmp_path / "frames", (disc(k) for k in range(25)), audio=sound) == 25
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [*(f"frame_{k:06d}.png" for k in range(25)), "sound.wav"]
    np.testing.assert_array_equal(io.imread(tmp_path / "frames" / "frame_000007.png"), disc(7))
    assert Image.open(tmp_path / "frames" / "frame_000000.png").info["Comment"] == PROVENANCE
    assert len(load_audio(tmp_path / "frames" / "sound.wav")) == 16000


def test_odd_sizes_are_padded(tmp_path: Path):
    write_transparent(tmp_path / "odd.webm", [disc(0, (65, 97))] * 2)
    with av.open(str(tmp_path / "odd.webm")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == (66, 98)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(InputError, match="no frame"):
        write_transparent(tmp_path / "none.webm", [])
    with pytest.raises(InputError, match="expected uint8"):
        write_transparent(tmp_path / "opaque.webm", [disc(0)[..., :3]])
    with pytest.raises(InputError, match="suffix"):
        write_transparent(tmp_path / "disc.mp4", [disc(0)])
    with pytest.raises(InputError, match="expected uint8"):
        write_transparent(tmp_path / "frames", [disc(0), disc(0)[:32]])
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_transparent(tmp_path / "full", [disc(0)])
