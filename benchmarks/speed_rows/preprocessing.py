"""Preprocessing of videos compared with MediaPipe's face mesh alone on decoded frames."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

from expnet.data.corpora import read_corpus
from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions
from expnet.data.preprocess.engines import LocalEngine
from expnet.data.preprocess.videos import preprocess
from expnet.media.video_reader import read_video
from shared.mediapipe_alone import mediapipe_alone
from speed_rows.measure import Row, compare, speed_row
from speed_rows.setting import Setting


def preprocessing(setting: Setting) -> Iterator[Row]:
    """One process compared with the tracker alone; two processes compared with one."""
    folder = Path(tempfile.mkdtemp(dir=setting.folder))
    sources = [video for path in setting.videos for video in read_corpus(path)]
    decoded = [list(read_video(source.path, fps=25)) for source in sources]
    frames = sum(map(len, decoded))
    maker = ClipMaker(folder / "clips", ClipOptions())
    pairs = compare(
        lambda: [maker(source) for source in sources],
        lambda: [mediapipe_alone(images) for images in decoded],
        repeats=min(setting.repeats, 3),
    )
    against = "MediaPipe alone on decoded frames"
    yield speed_row(
        "preprocess",
        "preprocess, one process",
        against,
        pairs,
        0.9,
        clock="processor",
        amount=frames,
        unit="frames/s",
        note="decoding, choice of the face, shots, fit, offset and writing against the tracker alone",
    )
    numbers = itertools.count()
    every = setting.videos if setting.quick else setting.every_video
    videos = shared_folder(every, folder / "videos")
    amount = sum(sum(1 for _ in read_video(path, fps=25)) for path in every)

    def run(workers: int) -> None:
        preprocess(videos, folder / f"store{next(numbers)}", engine=LocalEngine(workers))

    pairs = compare(lambda: run(2), lambda: run(1), repeats=1 if setting.clips else 3, warm=False)
    what, note = "preprocess, two processes, from start to finish", "imports of each process included"
    rate = {"amount": amount, "unit": "frames/s"}
    yield speed_row("preprocess", what, "one process", pairs, 1.8, clock="wall", both_clocks=False, note=note, **rate)


def shared_folder(videos: list[Path], folder: Path) -> Path:
    """Make a folder with links to videos."""
    folder.mkdir()
    for path in videos:
        (folder / path.name).symlink_to(path.resolve())
    return folder
