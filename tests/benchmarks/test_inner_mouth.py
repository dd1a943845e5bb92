"""``benchmarks/shared/inner_mouth.py``: thirds, bright pixels and bins of a mouth whose colours are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.inner_mouth import BINS, MEASURES, REAL, frames_in_bins, inner_mouth, inner_mouth_table, measure_bins
from shared.inner_mouth_sheet import save_sheet, stack_sheets


def face(opening: float) -> np.ndarray:
    """Landmarks (68, 2) of a face of 256 pixels with its outer eye corners 100 pixels apart."""
    points = np.full((68, 2), 128.0)
    points[36], points[45] = (78, 90), (178, 90)
    points[[40, 41]], points[[46, 47]] = (95, 95), (161, 95)
    points[27], points[8] = (128, 90), (128, 250)
    half = 50 * opening
    points[48], points[54] = (92, 180), (164, 180)
    points[60], points[64] = (98, 180), (158, 180)
    points[61:64, 0], points[65:68, 0] = (110, 128, 146), (146, 128, 110)
    points[61:64, 1], points[65:68, 1] = 180 - half, 180 + half
    return points


def painted(opening: float, levels: tuple[int, int, int]) -> np.ndarray:
    """Cheeks of 100, and bands of grey from the top to the bottom of the opening."""
    frame = np.full((256, 256, 3), 100, np.uint8)
    top, third = 180 - 50 * opening, 100 * opening / 3
    for index, level in enumerate(levels):
        frame[round(top + index * third) : round(top + (index + 1) * third)] = level
    return frame


def test_thirds_are_measured_against_the_cheeks() -> None:
    measures = inner_mouth(painted(0.24, (30, 60, 90)), face(0.24))
    # Corners are lower than the middle, so a little of the neighbouring band is seen at the sides.
    assert measures["upper"] == pytest.approx(0.3, abs=0.06)
    assert measures["middle"] == pytest.approx(0.6, abs=0.02)
    assert measures["lower"] == pytest.approx(0.9, abs=0.06)
    assert measures["bright"] == pytest.approx(1 / 3, abs=0.06)
    assert measures["redness"] == pytest.approx(1.0)


def test_red_is_seen() -> None:
    frame = painted(0.24, (60, 60, 60))
    frame[160:200, :, 1:] = 30
    assert inner_mouth(frame, face(0.24))["redness"] == pytest.approx(1.5, abs=0.05)


def test_a_frame_counts_in_the_bin_of_its_opening() -> None:
    landmarks = np.stack([face(opening) for opening in (0.01, 0.20, 0.03, 0.16, 0.5)])
    assert [chosen.tolist() for chosen in frames_in_bins(landmarks)] == [[2], [], [], [3, 1]]
    frames = [painted(0.24, (50, 50, 50))] * 5
    bins = measure_bins(frames, landmarks)
    assert bins[:3] == [None, None, None]  # one frame is not enough
    assert bins[3] is not None
    assert bins[3]["middle"] == pytest.approx(0.5)


def test_the_table_pairs_people() -> None:
    def row(speaker: str, real: float | None, ours: float | None) -> dict:
        bins = {
            name: [None, *[None if level is None else dict.fromkeys(MEASURES, level)] * 3]
            for name, level in ((REAL, real), ("ours", ours))
        }
        return {"speaker": speaker, "inner_mouth": bins}

    rows = [row("a", 0.4, 0.2), row("a", 0.6, 0.4), row("b", 0.5, 0.5), row("c", 9.0, None), row("d", 0.7, 0.1)]
    lines = inner_mouth_table(rows, "ours").splitlines()
    assert lines[2].split("|")[2].strip() == "0"
    assert "0.50 / 0.30" in lines[3]  # medians over a (0.5 / 0.3), b and d
    assert lines[3].split("|")[2].strip() == "3"


def test_sheets_show_real_above_rendered(tmp_path: Path) -> None:
    landmarks = np.stack([face(0.24), face(0.24)])
    real, ours = ([painted(0.24, (level, level, level))] * 2 for level in (240, 40))
    for name in "ab":
        save_sheet(tmp_path / f"{name}.png", name, [("real", real, landmarks), ("ours", ours, landmarks)])
    stack_sheets([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "missing.png"], tmp_path / "all.png")
    sheet = np.asarray(Image.open(tmp_path / "all.png"))
    one = np.asarray(Image.open(tmp_path / "a.png"))
    assert sheet.shape[0] == 2 * one.shape[0]
    column = one[:, round((len(BINS) - 0.5) * one.shape[1] / len(BINS)), 0]
    assert (column == 240).any()
    assert (column == 40).any()
    assert np.flatnonzero(column == 240).max() < np.flatnonzero(column == 40).min()
