"""Image metrics compared with the packages commonly used for them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from shared.image_metric_pairs import THREE_SCORES, comparisons, drifting_face
from speed_rows.measure import Row, compare, speed_row
from speed_rows.setting import Setting

AIMS = {"LPIPS alex": 1.0, "SSIM": 1.0, THREE_SCORES: 1 / 1.3, "FID features": 1.0, "CPBD": 30.0}
"""Required speed relative to the package."""


def image_metrics(setting: Setting) -> Iterator[Row]:
    """Frames of 256 pixels on one thread; packages that are not installed are left out."""
    frames, noisy = drifting_face(10 if setting.quick else 20, 256)
    with torch.inference_mode():
        for row in comparisons(frames, noisy, features=64):
            if row.name not in AIMS:
                continue
            pairs = compare(row.ours, row.theirs, repeats=setting.repeats)
            yield speed_row(
                "pictures", row.name, row.other, pairs, AIMS[row.name], clock="processor", amount=row.frames,
                unit="frames/s",
            )  # fmt: skip
