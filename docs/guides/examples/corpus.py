"""A corpus of one's own, whose file names say who speaks and how: ``anna-happy-2-007.mp4``."""

from __future__ import annotations

import csv
from pathlib import Path

from expnet.data.corpora.source import Corpus, MediaFiles, Problem, SourceVideo


def write_manifest(root: Path) -> Path:
    """Write the manifest.csv that lets ``--corpus folder`` read the corpus, without a reader."""
    path = root / "manifest.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "speaker", "emotion", "level"])
        for video in sorted(root.glob("*.mp4")):
            speaker, emotion, level, _ = video.stem.split("-")
            writer.writerow([video.name, speaker, emotion, level])
    return path


def read_studio(root: Path) -> Corpus:
    """List the videos of the corpus, and the files whose names do not follow its pattern."""
    videos, problems = [], []
    for name, paths in sorted(MediaFiles(root).videos.items()):
        parts = name.split("-")
        if len(parts) != 4 or not parts[2].isdigit():
            problems.append(Problem(paths[0], 0, "the name is not SPEAKER-EMOTION-LEVEL-NUMBER"))
            continue
        speaker, emotion, level, number = parts
        videos.append(
            SourceVideo(
                path=paths[0],
                clip_id=name,
                speaker=speaker,
                corpus="studio",
                split="test" if int(number) > 40 else "",
                emotion=emotion,
                level=int(level),
            )
        )
    return Corpus(videos, problems)
