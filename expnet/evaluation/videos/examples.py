"""The worst and best clips on the page: videos side by side with audio, and curves of the mouth opening."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from expnet.audio.alignment import FRAME_RATE
from expnet.audio.wave import SAMPLE_RATE
from expnet.config.benchmark import GROUND_TRUTH, ExamplesConfig
from expnet.evaluation.clip_faults import CLIP_FAULTS, clip_fault
from expnet.evaluation.report.line_chart import Series, other_style
from expnet.evaluation.report.page import CurveExample, Example, ExampleGroup, Extras
from expnet.evaluation.videos.example_clips import Chosen, MetricExamples
from expnet.evaluation.videos.finished_clips import ClipOutcome
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.reader import audio_from
from expnet.media.video_reader import probe_video, read_video, write_video
from expnet.render.reenactment import label_images

_log = logging.getLogger(__name__)

_FOLDER = "videos"
_NOT_IN_NAMES = r"[^A-Za-z0-9_.-]+"
_MOST_IN_A_ROW = 5
"""Systems side by side in a video, which the page shows 620 pixels wide or more."""


def page_extras(
    chosen: Sequence[MetricExamples],
    outcomes: Mapping[str, ClipOutcome],
    titles: Mapping[str, str],
    output: Path,
    options: ExamplesConfig,
) -> Extras:
    """Prepare the worst and best clips. One that cannot be shown is missing from the page, never from the table.

    Args:
        chosen: The clips by metric; a clip that several metrics chose is written once.
        outcomes: What is stored of each clip, by its name.
        titles: The names for people of all systems, by system.
        output: The folder of the page.
        options: Length and size of the videos.
    """
    shown = {one.clip.clip_id: one.clip for group in chosen for one in group.chosen}
    videos: dict[str, str] = {}
    for number, (name, clip) in enumerate(shown.items(), start=1):
        try:
            videos[name] = write_comparison(clip, number, _readable(outcomes[name], titles), output, options)
        except CLIP_FAULTS as error:
            _log.warning("%s cannot be shown on the page: %s", name, clip_fault(error))
    curves = []
    for one in chosen[0].chosen if chosen else ():
        outcome = outcomes[one.clip.clip_id]
        curves.append(curve_example(one, outcome, _readable(outcome, titles)))
    groups = []
    for group in chosen:
        named = [(one, videos[one.clip.clip_id]) for one in group.chosen if one.clip.clip_id in videos]
        examples = tuple(Example(one.title, one.clip.clip_id, one.note, video) for one, video in named)
        groups.append(ExampleGroup(group.info, examples))
    return Extras(
        curves=tuple(curve for curve in curves if curve is not None),
        examples=tuple(group for group in groups if group.examples),
    )


def _readable(outcome: ClipOutcome, titles: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the systems whose video of a clip could be read."""
    return {name: title for name, title in titles.items() if name in outcome.sources}


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
    clip: PairedClip, number: int, titles: Mapping[str, str], output: Path, options: ExamplesConfig
) -> str:
    """Write the videos of a clip side by side, with given audio, else that of the first system that has any.

    Returns:
        The path relative to the page.
    """
    (output / _FOLDER).mkdir(parents=True, exist_ok=True)
    paths = {name: path for name in titles if (path := clip.paths.get(name)) is not None}
    frames = round(options.seconds * FRAME_RATE)
    candidates = [name for name in (*(name for name in paths if name != GROUND_TRUTH), GROUND_TRUTH) if name in paths]
    own = (paths[name] for name in candidates if probe_video(paths[name]).has_audio)
    source = clip.inputs.audio or next(own, None)
    start = clip.start
    audio = None if source is None else audio_from(source, round(start * FRAME_RATE), frames)
    relative = Path(_FOLDER) / f"{number:02d}-{re.sub(_NOT_IN_NAMES, '-', clip.clip_id)}.mp4"
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
