"""The cost of a benchmark by metric: every metric has a row, and the projection is a product."""

import pytest
from skimage.data import astronaut

import evaluation_cost
from expnet.media.video_reader import write_video


def test_a_thousand_clips_are_a_thousand_times_one() -> None:
    text = evaluation_cost.table({"psnr": 0.36, "fid": 1.8}, clip_seconds=10.0, processes=4)
    assert "| fid | 1.800 | 5.00 h | 1.25 h |" in text
    assert "| **all** | 2.160 | 6.00 h | 1.50 h |" in text
    assert text.index("| fid") < text.index("| psnr")


@pytest.mark.slow
def test_every_metric_has_a_row(tmp_path) -> None:  # type: ignore[no-untyped-def]
    face = astronaut()[0:256, 90:346].copy()
    write_video(tmp_path / "a.mp4", [face] * 10)
    costs, seconds = evaluation_cost.measure(str(tmp_path), 1, 0.4, ["psnr", "ssim", "cpbd", "mouth_opening_lag"])
    assert seconds == pytest.approx(0.4)
    assert set(costs) == {evaluation_cost.READING, "psnr, ssim", "cpbd", "mouth_opening_lag"}
    assert costs[evaluation_cost.READING] > 0
    assert costs["cpbd"] > 0
