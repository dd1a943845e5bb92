"""``benchmarks/shared/inner_mouth.py``: thirds, bright pixels and bins of a mouth whose colours are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from shared.inner_mouth import BINS, MEASURES, REAL, frames_in_bins, inner_mouth, inner_mouth_table, measure_bins
from shared.inner_mouth_flicker import flicker, flicker_line, steady_triples
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


def striped(opening: float) -> np.ndarray:
    """Cheeks of 100, and vertical stripes of teeth, 8 pixels wide, between the lips."""
    frame = painted(opening, (60, 60, 60))
    frame[170:192, (np.arange(256) // 8) % 2 == 0] = 90
    return frame


def test_a_blur_lowers_the_gradient_and_a_contrast_raises_it() -> None:
    sharp = striped(0.24)
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(4)))
    flat, soft, clear = (
        inner_mouth(frame, face(0.24))["gradient"] for frame in (painted(0.24, (60,) * 3), blurred, sharp)
    )
    assert flat < 0.1
    assert soft < 0.6 * clear
    # A step of 30 grey levels every 8 pixels is a mean gradient of 30 / 8, relative to cheeks of 100.
    assert clear == pytest.approx(100 * 30 / 8 / 100, rel=0.1)


def test_the_triples_are_open_steady_valid_and_apart() -> None:
    openings = [0.0] * 4 + [0.10] * 7 + [0.2, 0.1, 0.2] + [0.16] * 3 + [0.01] * 5
    landmarks, valid = np.stack([face(opening) for opening in openings]), np.ones(len(openings), bool)
    assert steady_triples(landmarks, valid).tolist() == [[4, 5, 6], [7, 8, 9], [14, 15, 16]]
    valid[5] = False
    assert steady_triples(landmarks, valid).tolist() == [[6, 7, 8], [14, 15, 16]]
    assert steady_triples(landmarks, valid, 1).tolist() == [[6, 7, 8]]
    assert steady_triples(landmarks[:2], valid[:2]).shape == (0, 3)


def test_noise_in_every_frame_flickers_and_a_steady_change_of_light_does_not() -> None:
    landmarks = np.stack([face(0.24)] * 6)
    steady = [painted(0.24, (60 + 2 * k, 60 + 2 * k, 60 + 2 * k)) for k in range(6)]
    assert flicker([steady[0]] * 6, landmarks) == 0.0
    assert flicker(steady, landmarks) == pytest.approx(0.0, abs=1e-9)
    noise = np.random.default_rng(0)
    levels = []
    for deviation in (3.0, 9.0):
        grain = [np.round(steady[0] + noise.normal(0.0, deviation, (256, 256, 1))).clip(0, 255) for _ in range(6)]
        levels.append(flicker([frame.astype(np.uint8) for frame in grain], landmarks))
    # Interpolation between pixels averages some of the noise, whose second difference is 1.95 deviations.
    assert 0.5 * 1.95 * 3.0 < levels[0] < 1.95 * 3.0
    assert levels[1] == pytest.approx(3.0 * levels[0], rel=0.1)


def test_the_flicker_of_people_is_one_sentence() -> None:
    rows = [
        {"speaker": speaker, "flicker": None if real is None else {REAL: real, "ours": ours}}
        for speaker, real, ours in (
            ("a", 4.0, 1.0),
            ("a", 2.0, 2.0),
            ("b", 2.0, 1.0),
            ("c", None, None),
            ("d", 6.0, 9.0),
        )
    ]
    line = flicker_line(rows, "ours")
    assert "over 3 people: 3.00 real, 1.50 ours; ratio 0.50" in line
    assert "No clip" in flicker_line([rows[3]], "ours")


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
