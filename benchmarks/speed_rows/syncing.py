"""SyncNet's score of a clip, compared with the steps of the published script with the same weights."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch

from expnet.metrics import Extractor, measure_sync
from shared.published_syncnet import published_scores, random_syncnet, read_clip
from speed_rows.measure import Row, compare, speed_row, timed
from speed_rows.setting import Setting

GIGAFLOP = 3.1
"""GFLOP of one window of five frames; windows share no work, because each layer but the first sees one moment."""


def matrix_rate(size: int = 1024) -> float:
    """GFLOP per second of processor time of a product of two square matrices, the best of a few."""
    matrix = torch.randn(size, size)
    return 2e-9 * size**3 / min(timed(lambda: matrix @ matrix).processor for _ in range(5))


def syncing(setting: Setting) -> Iterator[Row]:
    """One clip of face crops, from uint8 frames and samples to distance, confidence and offset."""
    network = random_syncnet().to(setting.device)
    extractor, device = Extractor(network), str(setting.device)
    frames, audio = read_clip(setting.videos[0], 50 if setting.quick else 100)
    faces = np.stack([cv2.resize(frame, (224, 224)) for frame in frames])
    tensor, samples = torch.from_numpy(faces).permute(0, 3, 1, 2).to(device), torch.from_numpy(audio)
    with torch.inference_mode():
        expected, result = published_scores(faces, audio, network, device), measure_sync(tensor, samples, extractor)
        difference = max(abs(result.distance - expected[0]), abs(result.confidence - expected[1]))
        pairs = compare(
            lambda: measure_sync(tensor, samples, extractor),
            lambda: published_scores(faces, audio, network, device),
            repeats=min(setting.repeats, 3),
            warm=False,
        )
    rate = GIGAFLOP * (len(faces) - 5) / pairs.seconds("processor")[0]
    yield speed_row(
        "syncnet",
        f"SyncNet's score of {len(faces)} frames",
        "the original's steps, plainly, same weights",
        pairs,
        5.0,
        clock=setting.network_clock,
        note=f"distance and confidence differ by at most {difference:.0e}, offset by {result.offset - expected[2]}; "
        f"{rate:.0f} GFLOP/s, where a product of matrices reaches {matrix_rate():.0f}",
    )
