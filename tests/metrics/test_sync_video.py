"""The steps between a video and SyncNet: face tracks, crops and lossy codecs."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import medfilt
from skimage import data
from torch import Tensor

from expnet.metrics.functional import face_boxes, psnr
from expnet.metrics.functional.codec import AUDIO_CODECS, VIDEO_CODECS, recode_audio, recode_video
from expnet.metrics.functional.face_crop import crop_faces, find_tracks, resize_frames

BOX = [20.0, 30.0, 130.0, 150.0]


def panning(frames: int, height: int = 224, width: int = 224) -> Tensor:
    """Return a real image that slides by three pixels per frame, (T, 3, H, W) uint8."""
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    return torch.stack([picture[:, 20 : 20 + height, 3 * i : 3 * i + width] for i in range(frames)])


def boxes_of(frames: int, *gaps: int) -> Tensor:
    boxes = torch.tensor(BOX).repeat(frames, 1) + torch.arange(frames)[:, None]
    boxes[list(gaps)] = torch.nan
    return boxes


def test_gaps_are_filled_on_a_line_and_the_ends_are_not() -> None:
    (track,) = find_tracks(boxes_of(40, 0, 1, 9, 10, 11, 39), min_track=10, min_size=100)
    assert (track.frames.start, track.frames.stop) == (2, 39)
    np.testing.assert_allclose(track.boxes, boxes_of(40)[2:39].numpy())


@pytest.mark.parametrize(("gap", "tracks"), [(24, 1), (25, 2)])
def test_a_track_survives_a_gap_of_24_frames(gap: int, tracks: int) -> None:
    boxes = torch.tensor(BOX).repeat(80, 1)
    boxes[30 : 30 + gap] = torch.nan
    assert len(find_tracks(boxes, min_track=10, min_size=100)) == tracks


def test_limits_are_strict_as_in_the_original() -> None:
    boxes = torch.tensor(BOX).repeat(50, 1)
    assert find_tracks(boxes, min_track=50, min_size=100) == []
    assert len(find_tracks(boxes, min_track=49, min_size=100)) == 1
    assert find_tracks(boxes, min_track=49, min_size=120) == []  # the longer side is 120
    with pytest.raises(ValueError, match=r"\(T, 4\)"):
        find_tracks(boxes[:, :3], min_track=1, min_size=1)


def test_a_jump_there_and_back_makes_two_tracks_the_first_across() -> None:
    boxes = torch.tensor(BOX).repeat(60, 1)
    boxes[20:40] += 300
    first, second = find_tracks(boxes, min_track=10, min_size=100)
    assert (first.first, len(first.boxes)) == (0, 60)  # a gap of 20 frames is bridged
    assert (second.first, len(second.boxes)) == (20, 20)


def original_crop(frames: Tensor, boxes: np.ndarray) -> np.ndarray:
    """The published crop, frame by frame, with OpenCV."""
    cv2 = pytest.importorskip("cv2")
    half = medfilt([max(b[3] - b[1], b[2] - b[0]) / 2 for b in boxes], 13)
    y, x = medfilt([(b[1] + b[3]) / 2 for b in boxes], 13), medfilt([(b[0] + b[2]) / 2 for b in boxes], 13)
    crops = []
    for i, frame in enumerate(frames):
        bound = int(half[i] * 1.8)
        image = np.pad(frame.permute(1, 2, 0).numpy(), ((bound, bound), (bound, bound), (0, 0)), constant_values=110)
        rows = slice(int(y[i] + bound - half[i]), int(y[i] + bound + half[i] * 1.8))
        columns = slice(int(x[i] + bound - half[i] * 1.4), int(x[i] + bound + half[i] * 1.4))
        crops.append(cv2.resize(image[rows, columns], (224, 224)))
    return np.stack(crops)


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.3])
def test_crops_equal_the_published_geometry(scale: float) -> None:
    """Faces larger and smaller than 224 pixels, at the edge of the frame, and shaking."""
    frames = panning(40, 200, 260)
    shake = np.random.default_rng(0).normal(0, 3, (40, 4))
    boxes = np.array([5.0, 20.0, 105.0, 110.0]) * scale + shake
    expected = original_crop(frames, boxes)
    crops = crop_faces(frames, boxes).permute(0, 2, 3, 1).numpy()
    assert crops.shape == (40, 224, 224, 3)
    difference = np.abs(crops.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.003  # 0.12 with exact weights: OpenCV's have 11 bits, and it rounds down on the way


@pytest.mark.parametrize("size", [(96, 96), (448, 448), (200, 330)])
def test_resizing_equals_opencv(size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    frames = panning(2, *size)[:, :, : size[0], : size[1]]
    expected = np.stack([cv2.resize(frame.permute(1, 2, 0).numpy(), (224, 224)) for frame in frames])
    difference = np.abs(resize_frames(frames).permute(0, 2, 3, 1).numpy().astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.003
    assert resize_frames(frames[:0]).shape == (0, 3, 224, 224)


def test_frames_of_the_right_size_are_not_touched() -> None:
    frames = panning(3)
    assert resize_frames(frames) is frames


def test_boxes_from_landmarks() -> None:
    landmarks = torch.zeros(2, 68, 3)
    landmarks[:, :34, 0], landmarks[:, 34:, 0] = 10.0, 110.0
    landmarks[:, ::2, 1], landmarks[:, 1::2, 1] = 100.0, 200.0
    landmarks[1, 5] = torch.nan
    boxes = face_boxes(landmarks)
    assert boxes[0].tolist() == pytest.approx([10.0, 67.0, 110.0, 200.0])
    assert bool(boxes[1].isnan().all())
    with pytest.raises(ValueError, match="68"):
        face_boxes(landmarks[:, :67])


def quality(frames: Tensor, step: str) -> Tensor:
    return psnr(recode_video(frames, [step]), frames)


@pytest.mark.parametrize("step", VIDEO_CODECS)
def test_a_step_keeps_every_frame_in_its_place(step: str) -> None:
    frames = panning(30)
    recoded = recode_video(frames, [step])
    assert recoded.shape == frames.shape
    assert recoded.dtype is torch.uint8
    own, next_one = psnr(recoded[:-1], frames[:-1]), psnr(recoded[:-1], frames[1:])
    assert bool((own > next_one + 2).all())
    assert 0.1 < (recoded.float() - frames.float()).abs().mean() < 12
    assert torch.equal(recoded, recode_video(frames, [step]))


@pytest.mark.parametrize("size", [(224, 224), (96, 96), (144, 160), (256, 256)])
@pytest.mark.parametrize("step", VIDEO_CODECS)
def test_a_step_repeats_to_the_bit(step: str, size: tuple[int, int], unwritten_memory: Callable[[int], None]) -> None:
    frames = panning(24, *size)
    expected = recode_video(frames, [step])
    for byte in (0xFE, 0x01, 0x80, 0xFE):
        unwritten_memory(byte)
        assert torch.equal(recode_video(frames, [step]), expected)


@pytest.mark.parametrize("step", AUDIO_CODECS)
def test_a_step_of_audio_repeats_to_the_bit(step: str, unwritten_memory: Callable[[int], None]) -> None:
    noise = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    expected = recode_audio(noise, [step])
    for byte in (0xFE, 0x01, 0x80):
        unwritten_memory(byte)
        assert torch.equal(recode_audio(noise, [step]), expected)


def test_the_default_jpeg_is_much_worse_than_quantiser_two() -> None:
    """FFmpeg aims at 200 kb/s for any frame size; this step changes published scores most."""
    frames = panning(30)
    default, fixed = quality(frames, "jpeg"), quality(frames, "jpeg_q2")
    assert bool((fixed > 30).all())
    assert default[10:].mean() < fixed[10:].mean() - 4


def test_steps_follow_each_other() -> None:
    frames = panning(10)
    both = recode_video(frames, ("mpeg4_q2", "jpeg_q2"))
    assert psnr(both, frames).mean() < quality(frames, "jpeg_q2").mean()
    assert torch.equal(recode_video(frames, ()), frames)
    assert recode_video(frames[:0], ("jpeg",)).shape == (0, 3, 224, 224)


def test_odd_sizes_lose_a_line() -> None:
    frames = panning(4, 101, 90)
    assert recode_video(frames, ("h264", "jpeg_q2")).shape == (4, 3, 100, 90)


def test_the_last_jpeg_is_decoded_as_opencv_does() -> None:
    cv2 = pytest.importorskip("cv2")
    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()).save(buffer, "JPEG", quality=30)
    array = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(np.asarray(Image.open(buffer)), array)


@pytest.mark.parametrize("step", AUDIO_CODECS)
def test_sound_is_lossy_but_not_late(step: str) -> None:
    generator = torch.Generator().manual_seed(0)
    tone = torch.sin(torch.arange(16_001) * 0.05) * torch.linspace(0, 1, 16_001)
    audio = 0.3 * tone + 0.02 * torch.randn(16_001, generator=generator)
    heard = recode_audio(audio, [step])
    assert heard.shape == audio.shape
    assert heard.dtype is torch.float32
    spectrum = torch.fft.rfft(heard, 1 << 16) * torch.fft.rfft(audio, 1 << 16).conj()
    assert int(torch.fft.irfft(spectrum).argmax()) == 0
    error = (heard - audio)[1000:-1000].square().mean().sqrt()
    assert 1e-5 < error < 0.02
    assert torch.equal(recode_audio(audio, ()), audio)
