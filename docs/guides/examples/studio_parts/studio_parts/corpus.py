"""A corpus whose file names say who speaks and how: ``anna-happy-2-007.mp4``."""

from __future__ import annotations

from pathlib import Path

from expnet.data.corpora.source import Corpus, MediaFiles, Problem, SourceVideo


def read_studio(root: Path) -> Corpus:
    """List the videos of the corpus, and the files whose names do not follow its pattern."""
    videos, problems = [], []
    for name, paths in sorted(MediaFiles(root).videos.items()):
        parts = name.split("-")
        if len(parts) != 4 or not parts[2].isdigit() or not parts[3].isdigit():
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
