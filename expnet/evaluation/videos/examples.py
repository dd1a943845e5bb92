"""The worst and best clips of the first system: videos side by side with audio, and curves of the mouth opening."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.wave import SAMPLE_RATE
from expnet.config.benchmark import GROUND_TRUTH, ExamplesConfig
from expnet.evaluation.report.line_chart import Series, other_style
from expnet.evaluation.report.page import CurveExample
from expnet.evaluation.report.results import MetricInfo, ScoredClip
from expnet.evaluation.videos.finished_clips import ClipOutcome
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.reader import audio_from
from expnet.media.video_reader import probe_video, read_video, write_video
from expnet.render.reenactment import label_images

RANKED_BY = (
    "mouth_opening_correlation",
    "sync_confidence",
    "audio_mouth_correlation",
    "landmark_distance_mouth",
    "lpips",
    "psnr",
)
"""Metrics that rank the clips; the first of them that was scored decides."""
_FOLDER = "videos"
_MOST_IN_A_ROW = 5
"""Systems side by side in a video, which the page shows 620 pixels wide or more."""


@dataclass(frozen=True)
class Chosen:
    """A clip that is worth looking at.

    Attributes:
        title: Why it was chosen, ``Worst`` or ``Best``.
        clip: The clip.
        note: Its score in words.
    """

    title: str
    clip: PairedClip
    note: str


def choose_clips(
    system: str, clips: Sequence[PairedClip], rows: Sequence[ScoredClip], infos: Sequence[MetricInfo], count: int
) -> list[Chosen]:
    """Choose the worst and best clips of a system, worst first; fewer than ``2 * count`` if there are not enough.

    Args:
        system: The name of the system whose clips are ranked.
        clips: The clips of the benchmark.
        rows: The scores of all systems.
        infos: The metrics of the table.
        count: The number of worst clips, and of best clips.
    """
    known = {info.key: info for info in infos}
    own = [row for row in rows if row.system == system and row.status == "ok"]
    keys = (key for key in RANKED_BY if any(math.isfinite(row.values.get(key, math.nan)) for row in own))
    key = next(keys, None)
    if key is None or count == 0:
        return []
    info = known[key]
    scored = [row for row in own if math.isfinite(row.values.get(key, math.nan))]
    sign = -1.0 if info.higher_is_better is False else 1.0
    scored.sort(key=lambda row: (sign * row.values[key], row.clip_id))
    worst = scored[: min(count, (len(scored) + 1) // 2)]
    best = scored[len(worst) :][-count:]
    by_name = {clip.clip_id: clip for clip in clips}
    titled = [("Worst" if row in worst else "Best", row) for row in (*worst, *best)]
    return [
        Chosen(title, by_name[row.clip_id], f"{info.title} {row.values[key]:.3g} {info.unit}".rstrip())
        for title, row in titled
    ]


def curve_example(chosen: Chosen, outcome: ClipOutcome, titles: Mapping[str, str]) -> CurveExample | None:
    """Return the mouth opening of a clip in every system, or None where no face was found."""
    if not outcome.openings:
        return None
    styles = line_styles(list(titles))
    series = tuple(
        Series(titles[name], outcome.openings[name], styles[name]) for name in titles if name in outcome.openings
    )
    return CurveExample(chosen.title, chosen.clip.clip_id, chosen.note, series, tuple(outcome.silent))


def write_comparison(
    chosen: Chosen, number: int, titles: Mapping[str, str], output: Path, options: ExamplesConfig
) -> str:
    """Write the videos of a clip side by side, with given audio, else that of the first system that has any.

    Returns:
        The path relative to the page.
    """
    (output / _FOLDER).mkdir(parents=True, exist_ok=True)
    paths = {name: path for name in titles if (path := chosen.clip.paths.get(name)) is not None}
    frames = round(options.seconds * FRAME_RATE)
    candidates = [name for name in (*(name for name in paths if name != GROUND_TRUTH), GROUND_TRUTH) if name in paths]
    own = (paths[name] for name in candidates if probe_video(paths[name]).has_audio)
    source = chosen.clip.inputs.audio or next(own, None)
    start = chosen.clip.start
    audio = None if source is None else audio_from(source, round(start * FRAME_RATE), frames)
    relative = Path(_FOLDER) / f"{number:02d}-{chosen.title.lower()}.mp4"
    tiles = _tiles({titles[name]: path for name, path in paths.items()}, frames, options.height, start)
    write_video(output / relative, tiles, fps=float(FRAME_RATE), audio=audio, sample_rate=SAMPLE_RATE, crf=23)
    return relative.as_posix()


def _tiles(paths: Mapping[str, Path], frames: int, height: int, start: float = 0.0) -> Iterator[NDArray[np.uint8]]:
    """Yield one composed image per frame; a video that ends early holds its last frame."""
    readers = [read_video(path, fps=float(FRAME_RATE), start=start) for path in paths.values()]
    last: list[NDArray[np.uint8] | None] = [None] * len(readers)
    width = 0
    for index, images in enumerate(zip_longest(*readers)):
        if index == frames:
            break
        shown = []
        for column, image in enumerate(images):
            if image is not None:
                width = width or max(round(height * image.shape[1] / image.shape[0]), 1)
                last[column] = fit_inside(image, height, width)
            shown.append(last[column])
        yield _in_rows([(title, tile) for title, tile in zip(paths, shown, strict=True) if tile is not None])


def _in_rows(tiles: Sequence[tuple[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Put labelled images of one size side by side, in as many rows of equal length as keep them large enough."""
    rows = math.ceil(len(tiles) / _MOST_IN_A_ROW)
    length = math.ceil(len(tiles) / rows)
    parts = [label_images(tiles[start : start + length]) for start in range(0, len(tiles), length)]
    missing = parts[0].shape[1] - parts[-1].shape[1]
    parts[-1] = np.pad(parts[-1], ((0, 0), (0, missing), (0, 0)))
    return np.concatenate(parts)


def fit_inside(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale an image (H, W, 3) to fit into (height, width), keep its aspect ratio and pad it with black."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    sheet = Image.new("RGB", (width, height))
    sheet.paste(
        Image.fromarray(image).resize(size, Image.Resampling.BILINEAR),
        ((width - size[0]) // 2, (height - size[1]) // 2),
    )
    return np.asarray(sheet)


def line_styles(names: Sequence[str]) -> dict[str, str]:
    """Return a style for the line of each system: one of its own, the accent for the first system."""
    first, *others = [name for name in names if name != GROUND_TRUTH] or [""]
    numbered = {name: other_style(number) for number, name in enumerate(others)}
    return {GROUND_TRUTH: "real", first: "model", **numbered}
