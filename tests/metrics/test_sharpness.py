"""CPBD against the algorithm written out pixel by pixel, against the Python port, and by hand."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from skimage import data
from skimage.feature import canny

from expnet.metrics import BlurDetection
from expnet.metrics.functional import cpbd
from expnet.metrics.functional.sharpness import edge_widths, luma, sharp_share


def to_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)


def pictures() -> dict[str, np.ndarray]:
    astronaut, cat = data.astronaut()[30:222, 130:330], data.chelsea()[40:200, 60:320]
    noise = np.random.default_rng(0).integers(0, 256, (70, 130, 3), dtype=np.uint8)
    blurred = gaussian_filter(cat.astype(float), (2, 2, 0)).astype(np.uint8)
    stairs = np.repeat(np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 5, 1), 3, 2)
    return {
        "astronaut": astronaut,
        "cat": cat,
        "blurred": blurred,
        "noise": noise,
        "flat": np.full((80, 80, 3), 90, np.uint8),
        "rising only": np.repeat(stairs, 70, 0),
        "falling only": np.repeat(stairs[:, ::-1], 70, 0),
    }


def side_width(row: np.ndarray, column: int, direction: int, rising: bool) -> int:
    """Return the pixels from an edge to where its row stops falling or rising in one direction, at most 101."""
    width, place = 1, column + direction
    while width <= 100 and 0 <= place + direction < len(row):
        step = (row[place + direction] - row[place]) * direction
        if (step <= 0) if rising else (step >= 0):
            break
        width, place = width + 1, place + direction
    return width


def obvious_cpbd(grey: np.ndarray) -> float:
    """The steps of the original, one pixel at a time."""
    kernel = np.outer([1, 2, 1], [1, 0, -1]) / 8
    strength = convolve(grey, kernel) ** 2
    strength[strength <= 2 * math.sqrt(strength.mean())] = 0
    framed = np.pad(strength, 1)
    gradient_y, gradient_x = np.gradient(grey)
    angles = np.where(gradient_x == 0, 0, np.degrees(np.arctan2(gradient_y, gradient_x)))
    edges, height, width = canny(grey), *grey.shape
    histogram = np.zeros(101)
    if not angles.any():
        return 0.0
    for top in range(0, height - 63, 64):
        for left in range(0, width - 63, 64):
            if edges[top : top + 64, left : left + 64].sum() <= 64 * 64 * 0.002:
                continue
            block = grey[top : top + 64, left : left + 64]
            just_noticeable = 5 if int(block.max() - block.min()) <= 50 else 3
            for row in range(max(top, 1), min(top + 64, height - 1)):
                for column in range(max(left, 1), min(left + 64, width - 1)):
                    here = strength[row, column]
                    row_peak = here > framed[row + 1, column] and here > framed[row + 1, column + 2]
                    column_peak = here > framed[row, column + 1] and here > framed[row + 2, column + 1]
                    angle = abs(45 * round(angles[row, column] / 45))
                    if not (row_peak or column_peak) or angle not in (0, 180):
                        continue
                    sides = (side_width(grey[row], column, way, rising=angle == 0) for way in (-1, 1))
                    probability = 1 - math.exp(-((sum(sides) / just_noticeable) ** 3.6))
                    histogram[round(probability * 100)] += 1
    return histogram[:64].sum() / max(histogram.sum(), 1)


@pytest.mark.parametrize("name", list(pictures()))
def test_equals_the_algorithm_pixel_by_pixel(name: str) -> None:
    picture = pictures()[name]
    grey = np.asarray(Image.fromarray(picture).convert("L")).astype(float)
    assert cpbd(to_tensor(picture)).item() == pytest.approx(obvious_cpbd(grey), abs=1e-15)


def test_equals_the_python_port() -> None:
    port = pytest.importorskip("cpbd.compute")  # the published package needs one import removed to run
    for picture in pictures().values():
        grey = np.asarray(Image.fromarray(picture).convert("L"))
        assert cpbd(to_tensor(picture)).item() == pytest.approx(port.compute(grey), abs=1e-15)


def test_grey_levels_are_pillows() -> None:
    picture = pictures()["noise"]
    np.testing.assert_array_equal(luma(to_tensor(picture)), np.asarray(Image.fromarray(picture).convert("L")))
    assert torch.equal(luma(to_tensor(picture).double() / 255), luma(to_tensor(picture)))


def test_width_by_hand() -> None:
    row = torch.tensor([9.0, 9, 10, 20, 40, 70, 80, 85, 85, 85])
    grey = row.repeat(5, 1)[None].clone()
    grey[0, 4] += 0.5  # an angle other than 0, without which the original finds no edge widths
    edges = torch.zeros(1, 5, 10, dtype=torch.bool)
    edges[0, 2, 4] = True
    # Left of column 4 the row falls to column 1: 3 pixels. Right of it, it rises to column 7: 3 pixels.
    assert edge_widths(grey, edges)[0, 2, 4] == 6
    assert edge_widths(grey.flip(-1), edges.flip(-1))[0, 2, 5] == 6
    assert edge_widths(grey, edges).count_nonzero() == 1


def test_share_by_hand() -> None:
    grey = torch.zeros(1, 64, 130)
    grey[0, 0, 0] = 50  # first block: low contrast, 5 pixels are just noticeable
    grey[0, 0, 64] = 51  # second block: 3 pixels
    widths = torch.zeros(1, 64, 130, dtype=torch.int32)
    widths[0, 5, 10:14] = torch.tensor([2, 5, 6, 9])
    widths[0, 5, 70:73] = torch.tensor([3, 4, 5])
    widths[0, 5, 129] = 2  # beyond the last whole block
    edges = torch.zeros(1, 64, 130, dtype=torch.bool)
    edges[0, 0, :73] = True
    assert sharp_share(grey, edges, widths).item() == pytest.approx(3 / 7)
    edges[0, 0, 64 + 8 :] = False  # 8 of 4096 pixels are not enough for an edge block
    assert sharp_share(grey, edges, widths).item() == pytest.approx(2 / 4)


def test_blur_lowers_it() -> None:
    sharp, blurred = (to_tensor(pictures()[name]) for name in ("cat", "blurred"))
    assert cpbd(sharp) > cpbd(blurred) + 0.1


def test_metric_frames_then_clips_and_refusals() -> None:
    cat = to_tensor(pictures()["cat"])
    clips = torch.stack([torch.stack([cat, cat.flip(-1)]), torch.stack([cat, to_tensor(pictures()["blurred"])])])
    scores, valid = cpbd(clips), torch.tensor([[True, True], [False, True]])
    metric = BlurDetection()
    metric.update(clips, valid=valid)
    assert metric.compute().item() == pytest.approx(((scores[0].mean() + scores[1, 1]) / 2).item())
    metric.update(clips, valid=torch.zeros_like(valid))
    metric.update(clips[:0])
    assert (int(metric.clips), int(metric.unscored)) == (2, 2)
    images = BlurDetection()
    images.update(clips[0])
    assert images.compute().item() == pytest.approx(scores[0].mean().item())
    with pytest.raises(ValueError, match="at least 64"):
        cpbd(cat[:, :60])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        cpbd(cat.float())
    with pytest.raises(ValueError, match="uint8"):
        cpbd(cat.long())
    with pytest.raises(ValueError, match="frames must be"):
        metric.update(cat)
