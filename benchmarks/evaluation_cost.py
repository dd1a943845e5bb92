"""What a benchmark of videos costs: seconds of one core for a second of video by metric, and 1,000 clips projected.

    python benchmarks/evaluation_cost.py CLIPS [--limit 4] [--seconds 4] [--clip-seconds 10] [--processes 8]

Every clip is scored against itself with all metrics; networks have random weights, which take the same time. Times are
processor time of one thread, so that other work on the machine does not count. FVD takes 16 frames of a video of any
length, so its projection is too high for clips that are longer than the measured ones.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from expnet.config.benchmark import ASSET_KINDS, VideoBenchmarkConfig, VideoProtocolConfig
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.pairing import pair_videos
from expnet.evaluation.videos.scoring_setup import open_scoring_setup
from expnet.io.markdown import markdown_table
from expnet.metrics import UnscorableClipError

READING = "decoding, tracking and fitting"
IN_ONE_PASS = ("psnr", "ssim", "ms_ssim")
"""What the first of these that is asked computes for all."""


def main() -> None:
    """Print one row for each family of metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", metavar="CLIPS", help="Folder of videos.")
    parser.add_argument("--limit", type=int, default=4, help="Clips to measure (default 4).")
    parser.add_argument("--seconds", type=float, default=4.0, help="Seconds of each that are measured (default 4).")
    parser.add_argument("--clip-seconds", type=float, default=10.0, help="Length of the projected clips (default 10).")
    parser.add_argument("--processes", type=int, default=8, help="Processes of the projection (default 8).")
    parser.add_argument("--metrics", nargs="*", default=[], help="Keys of the metrics; all by default.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    costs, seconds = measure(options.clips, options.limit, options.seconds, options.metrics)
    print(f"{seconds:.1f} s of video; one thread of this machine's processor")
    print(table(costs, options.clip_seconds, options.processes))


def measure(folder: str, limit: int, seconds: float, metrics: list[str]) -> tuple[dict[str, float], float]:
    """Return the processor seconds for a second of video by family of metrics, and the seconds of video measured."""
    config = VideoBenchmarkConfig(
        reference=folder,
        systems={"same": folder},
        metrics=metrics,
        limit=limit,
        assets=dict.fromkeys(ASSET_KINDS, "random"),
        protocol=VideoProtocolConfig(seconds=seconds, sync="direct"),
    )
    clips = pair_videos(config).clips
    setup = open_scoring_setup(config, torch.device("cpu"))
    spent: dict[str, float] = {READING: 0.0}
    total = 0.0
    with torch.no_grad():
        for clip in clips:
            started = time.process_time()
            assert clip.reference is not None
            video = setup.scorer.reader(Path(clip.reference))
            spent[READING] += time.process_time() - started
            if not total:  # what is compiled or imported at the first call does not count
                for one in setup.measures:
                    _seconds_of(one, video.first(16))
            total += len(video) / 25.0
            for one in setup.measures:
                keys = IN_ONE_PASS if set(one.keys) & set(IN_ONE_PASS) else one.keys
                name = ", ".join(key for key in keys if key in config.wanted)
                spent[name] = spent.get(name, 0.0) + _seconds_of(one, video)
    return {name: value / total for name, value in spent.items()}, total


def _seconds_of(measure: Any, video: Any) -> float:
    """Return the processor time of one measure on one video, compared with itself; 0 where it cannot be taken."""
    if measure.lacks(video, video):
        return 0.0
    started = time.process_time()
    with suppress(UnscorableClipError):  # too short for SyncNet, or a face too small
        measure.run(Scores(), video, video)
    return time.process_time() - started


def table(costs: dict[str, float], clip_seconds: float, processes: int) -> str:
    """Return the costs and the time of 1,000 clips in Markdown, the most expensive first."""
    lines = sorted(costs.items(), key=lambda item: -item[1])
    rows = [[name, *_cells(cost, clip_seconds, processes)] for name, cost in lines]
    rows.append(["**all**", *_cells(sum(costs.values()), clip_seconds, processes)])
    headings = [
        "metrics",
        "s for 1 s of video",
        f"1,000 clips of {clip_seconds:g} s, one core",
        f"{processes} processes",
    ]
    return markdown_table(headings, rows, align="lrrr")


def _cells(cost: float, clip_seconds: float, processes: int) -> list[str]:
    hours = cost * 1000 * clip_seconds / 3600
    return [f"{cost:.3f}", f"{hours:.2f} h", f"{hours / processes:.2f} h"]


if __name__ == "__main__":
    main()
