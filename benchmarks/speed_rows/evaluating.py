"""A whole benchmark of videos compared with its metrics one by one, each reading and tracking for itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from expnet.config.benchmark import VideoBenchmarkConfig, VideoProtocolConfig
from expnet.evaluation.videos.measures import FACE, REFERENCE_FACE
from expnet.evaluation.videos.pairing import pair_videos
from expnet.evaluation.videos.reader import VideoReader
from expnet.evaluation.videos.scoring_setup import ScoringSetup, open_scoring_setup
from speed_rows.measure import Row, compare, speed_row
from speed_rows.preprocessing import shared_folder
from speed_rows.setting import Setting

SINGLE = (
    ("audio_mouth_correlation", "audio_mouth_lag"),
    ("mouth_opening_correlation", "mouth_opening_lag"),
    ("silent_lip_motion",),
    ("landmark_distance_mouth", "landmark_distance"),
    ("jitter_ratio",),
    ("blink_rate",),
    ("psnr",),
    ("ssim",),
    ("ms_ssim",),
    ("cpbd",),
    ("pose_diversity",),
    ("pose_diversity_ratio", "pose_speed_ratio"),
    ("beat_alignment",),
)
"""Every metric that needs no external weights, grouped by the measurement that computes it."""


class ImagesAlone(VideoReader):
    """Reads videos for a metric that never looks at a face."""

    def _face(self, images: Sequence[object]) -> None:
        return None


def evaluating(setting: Setting) -> list[Row]:
    """All metrics of all clips in one pass, compared with the sum of the metrics one by one."""
    folder = shared_folder(setting.videos if setting.quick else setting.every_video, setting.folder / "real")
    config = VideoBenchmarkConfig(
        reference=str(folder),
        systems={"same": str(folder)},
        metrics=[key for keys in SINGLE for key in keys],
        protocol=VideoProtocolConfig(seconds=1.0),
    )
    clips = pair_videos(config).clips
    tools = [open_scoring_setup(config, torch.device("cpu")), *(single_tool(config, keys) for keys in SINGLE)]

    def score(some: Sequence[int]) -> None:
        for place in some:
            for clip in clips:
                tools[place].scorer.score(clip)

    score([0])
    pairs = compare(lambda: score([0]), lambda: score(range(1, len(tools))), repeats=1, warm=False)
    against = f"{len(SINGLE)} tools one after the other, each decoding, and tracking if it has to"
    what = f"evaluate.py, {len(clips)} clips of a second, every metric without foreign weights"
    return [speed_row("evaluate", what, against, pairs, 2.0, clock="processor")]


def single_tool(config: VideoBenchmarkConfig, keys: Sequence[str]) -> ScoringSetup:
    """The setup of one family of metrics, which tracks faces only if those metrics need them."""
    own = VideoBenchmarkConfig(config.reference, config.systems, metrics=list(keys), protocol=config.protocol)
    setup = open_scoring_setup(own, torch.device("cpu"))
    if not any(measure.needs & {FACE, REFERENCE_FACE} for measure in setup.measures):
        setup.scorer.reader = ImagesAlone(seconds=config.protocol.seconds)
    return setup
