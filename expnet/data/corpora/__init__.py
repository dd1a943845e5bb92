"""Readers of corpora: their videos with speaker, emotion, language, split, parts and crops.

``folder`` reads any folder of videos, ``mat`` coefficient tracks, and ``hdtf``, ``mead`` and ``lrs3`` these corpora as
they are distributed. docs/guides/corpora.md describes the layouts and the terms of use.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from expnet.config.built_in_parts import BUILT_IN
from expnet.config.parts import find_part
from expnet.data.corpora.folder import Speakers, read_manifest_file, speaker_of
from expnet.data.corpora.source import VIDEO_SUFFIXES, Corpus, PixelBox, Problem, SourceVideo
from expnet.data.corpora.terms import TERMS, Terms
from expnet.errors import ConfigError
from expnet.io.path_text import path_text

__all__ = [
    "LAYOUTS",
    "TERMS",
    "VIDEO_SUFFIXES",
    "Corpus",
    "PixelBox",
    "Problem",
    "SourceVideo",
    "Terms",
    "open_corpus",
    "read_corpus",
]

_GENERAL = ("folder", "mat")
"""Layouts whose readers take the speakers themselves."""
LAYOUTS = tuple(BUILT_IN["corpora"])
"""Names of the layouts that expnet reads itself."""


def read_corpus(
    root: str | os.PathLike[str],
    *,
    corpus: str = "folder",
    speakers: Speakers = None,
    official_splits: bool = True,
) -> list[SourceVideo]:
    """List the videos of a corpus, without the problems that :func:`open_corpus` reports."""
    return open_corpus(root, corpus=corpus, speakers=speakers, official_splits=official_splits).videos


def open_corpus(
    root: str | os.PathLike[str],
    *,
    corpus: str = "folder",
    speakers: Speakers = None,
    official_splits: bool = True,
) -> Corpus:
    """List the videos of a corpus, and the lines and files that cannot be used.

    Args:
        root: Folder of the corpus, or (for ``folder`` and ``mat``) a single file.
        corpus: Layout of the corpus: one of ``LAYOUTS``, one that an installed package registers, or
            ``module:function`` after `expnet.config.parts.allow_parts` (docs/guides/own_parts.md).
        speakers: A csv file with the columns file and speaker, or a mapping from file name to speaker (``*`` for all
            others).
        official_splits: Keep the corpus's own splits; otherwise training splits it by speaker.

    Raises:
        DataError: If the folder does not exist, holds nothing of this layout, or the csv file cannot be used.
        ConfigError: If the layout is unknown.
    """
    folder = Path(os.path.abspath(root))
    read = find_part("corpora", corpus, "corpus").target
    found = read(folder, speakers) if corpus in _GENERAL else _with_speakers(read(folder), folder, speakers)
    if not isinstance(found, Corpus):
        raise ConfigError(f"corpus={corpus} must return an expnet.data.corpora.Corpus, not a {type(found).__name__}.")
    if not official_splits:
        found = replace(found, videos=[replace(video, split="") for video in found.videos])
    return replace(_without_duplicates(_as_text(found)), terms=TERMS.get(corpus))


def _as_text(found: Corpus) -> Corpus:
    """Make the names that come from files and folders valid Unicode, which stores require."""
    return replace(
        found,
        videos=[
            replace(
                video,
                clip_id=path_text(video.clip_id),
                speaker=path_text(video.speaker),
                corpus=path_text(video.corpus),
            )
            for video in found.videos
        ],
    )


def _without_duplicates(found: Corpus) -> Corpus:
    """Keep the first of the videos that would become the same clip, and report the others."""
    first: dict[str, SourceVideo] = {}
    problems = list(found.problems)
    for video in found.videos:
        known = first.setdefault(video.clip_id, video)
        if known is not video:
            problems.append(Problem(video.path, 0, f"it is clip {video.clip_id}, as {known.path} is, which is used"))
    return replace(found, videos=list(first.values()), problems=problems)


def _with_speakers(found: Corpus, root: Path, speakers: Speakers) -> Corpus:
    """Replace the speakers of those videos for which the user gives one."""
    if speakers is None:
        return found
    if isinstance(speakers, Mapping):
        names = {video.path: speakers.get(video.path.name, speakers.get("*", "")) for video in found.videos}
    else:
        rows = read_manifest_file(Path(speakers), root)
        names = {path: speaker_of(row) for path, row in rows.items()}
    videos = [replace(video, speaker=names.get(video.path) or video.speaker) for video in found.videos]
    return replace(found, videos=videos)
