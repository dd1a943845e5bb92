"""A small invented result for the tests of the report."""

import math

import numpy as np

from expnet.evaluation.report.line_chart import Series
from expnet.evaluation.report.page import CurveExample, Strip
from expnet.evaluation.report.results import (
    MetricInfo,
    MetricSummary,
    Results,
    ScoredClip,
    SystemResult,
)

METRICS = (
    MetricInfo(
        "mouth_opening_correlation", "Mouth-opening correlation", "r", True, 1.0, "Lips", "Opens when it should."
    ),
    MetricInfo("silent_lip_motion", "Lip motion in silence", "eye distances", False, None, "Lips", "Calm in pauses."),
    MetricInfo("landmark_distance", "Landmark distance, face", "px at 256", False, 0.0, "Face", "Distance & more."),
    MetricInfo("within_clip_r2", "Within-clip R²", "share", True, 1.0, "Face", "Explained motion."),
    MetricInfo("jitter_ratio", "Jitter against real", "ratio", None, 1.0, "Motion", "As lively as life."),
    MetricInfo("pose_diversity", "Head-pose diversity", "degrees", None, None, "Head", "The real value is the aim."),
)
VALUES = {
    "ground_truth": (0.998, 0.004, 0.42, 0.97, 1.0, 3.1),
    "ours": (0.534, 0.006, 1.61, 0.118, 0.42, 2.7),
    "ridge": (0.462, 0.009, 1.72, 0.074, 0.21, math.nan),
    "per_frame": (0.41, 0.011, 1.83, -0.012, 2.4, math.nan),
    "hold_first_frame": (0.0, 0.0, 2.2, 0.0, 0.0, 0.0),
}
TITLES = {
    "ground_truth": ("Real clips", "reference"),
    "ours": ("expnet", "model"),
    "ridge": ("Ridge on mel", "baseline"),
    "per_frame": ("Per-frame head", "baseline"),
    "hold_first_frame": ("Hold first frame", "trivial"),
}


def fake_results() -> Results:
    systems = []
    for name, values in VALUES.items():
        metrics = {}
        for info, value, truth in zip(METRICS, values, VALUES["ground_truth"], strict=True):
            half = 0.04 * max(abs(value), 0.02)
            metrics[info.key] = MetricSummary(
                mean=value,
                ci95=None if math.isnan(value) else (value - half, value + half),
                n=0 if math.isnan(value) else 24,
                unscored=3 if info.key == "silent_lip_motion" else 0,
                distance_to_ground_truth=value - truth,
                difference_to_first=value - 0.5 if name != "ours" else None,
                difference_ci95=(value - 0.6, value - 0.4) if name != "ours" else None,
            )
        title, kind = TITLES[name]
        systems.append(SystemResult(name, title, kind, f"What {title} is.", metrics))
    rows = [
        ScoredClip(f"clip{index}", name, f"person{index % 3}", 90, "ok", "", {"mouth_opening_correlation": 0.1 * index})
        for name in VALUES
        for index in range(6)
    ]
    rows.append(ScoredClip("broken<clip>", "ours", "person0", 0, "failed", "no valid frame"))
    return Results(
        title="expnet on six clips",
        metrics=METRICS,
        systems=tuple(systems),
        clips=tuple(rows),
        protocol={
            "data": {"store": "test", "clips": 6},
            "metrics": {"landmark_distance": {"normalisation": "centred"}},
        },
        versions={"expnet": "0.1.0"},
        details={"command": "python evaluate.py"},
        notes=("Only three people: the intervals are rough.",),
    )


def fake_curves() -> tuple[CurveExample, ...]:
    time = np.arange(150) / 25
    real = 0.12 + 0.08 * np.sin(2 * np.pi * 3 * time) * (time > 1)
    series = (
        Series("real", real.tolist(), "real"),
        Series("Ridge on mel", (0.12 + 0.3 * (real - 0.12)).tolist(), "baseline"),
        Series("expnet", (0.12 + 0.7 * np.roll(real - 0.12, 1)).tolist(), "model"),
    )
    return (CurveExample("Best", "clip5", "r .81", series, tuple((time < 1).tolist())),)


def fake_strip() -> Strip:
    generator = np.random.default_rng(0)
    images = tuple(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(5))
    return Strip("clip5", (0.0, 0.5, 1.0, 1.5, 2.0), (("real", images), ("expnet", images)), "videos/clip5.mp4")
