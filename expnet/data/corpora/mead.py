"""MEAD: actors, views, emotions and levels, with audio in separate files (github.com/uniBruce/Mead).

    <actor>/video/<view>/<emotion>/level_<k>/<NNN>.mp4      (some actors have 1 or 2 in place of video)
    <actor>/audio/<emotion>/level_<k>/<NNN>.m4a             (some are missing)

Files renamed to ``M030_front_angry_level3_001.mp4``, with audio of the same name, are read as well. The official test
set is the last 10 neutral sentences of each actor, and the last 6 of each actor, other emotion and level. Sentences are
counted by rank because the numbers of some actors have gaps, up to number 77 for 40 sentences.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from expnet.data.corpora.source import Corpus, MediaFiles, Problem, SourceVideo
from expnet.data.splits import TEST
from expnet.errors import DataError

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
VIEWS = ("front", "left_30", "left_60", "right_30", "right_60", "top", "down")
NEUTRAL = "neutral"
TEST_SENTENCES = {NEUTRAL: 10}
"""Number of final sentences in the test set, by emotion; :data:`OTHER_TEST_SENTENCES` for other emotions."""
OTHER_TEST_SENTENCES = 6

_ACTOR = r"(?P<actor>[MW]\d{3})"
_VIEW = rf"(?P<view>{'|'.join(VIEWS)})"
_EMOTION = rf"(?P<emotion>{'|'.join(EMOTIONS)})"
_SENTENCE = r"(?P<sentence>\d{3})"
_IN_FOLDERS = re.compile(rf"(?:.*/)?{_ACTOR}/[^/]+/{_VIEW}/{_EMOTION}/level_(?P<level>[123])/{_SENTENCE}")
_IN_A_NAME = re.compile(rf"{_ACTOR}_{_VIEW}_{_EMOTION}_level_?(?P<level>[123])_{_SENTENCE}")
_AUDIO_IN_FOLDERS = re.compile(rf"(?:.*/)?{_ACTOR}/audio/{_EMOTION}/level_(?P<level>[123])/{_SENTENCE}")


@dataclass(frozen=True, order=True)
class Utterance:
    """A sentence spoken by an actor, filmed in seven views with one audio recording.

    Args:
        actor: M003, W011, ...
        emotion: One of :data:`EMOTIONS`.
        level: Intensity of the emotion, 1 to 3.
        sentence: Number of the file.
    """

    actor: str
    emotion: str
    level: int
    sentence: int


def read_mead(root: Path) -> Corpus:
    """List the videos of MEAD in all views.

    Args:
        root: Folder with the folders of the actors, at any depth, or with renamed files.

    Raises:
        DataError: If no video under the folder has a path or name of MEAD.
    """
    files = MediaFiles(root)
    recordings = {utterance: path for path in _all(files.audio_files) if (utterance := _parse_audio_path(path))}
    found, problems = [], []
    for path in _all(files.videos):
        match = _IN_FOLDERS.fullmatch(path.with_suffix("").as_posix()) or _IN_A_NAME.fullmatch(path.stem)
        if match is None:
            problems.append(Problem(path, 0, "neither its folders nor its name match MEAD's"))
            continue
        utterance = _utterance(match)
        audio = files.audio(path.stem, beside=path) if _IN_A_NAME.fullmatch(path.stem) else recordings.get(utterance)
        found.append((utterance, match["view"], path, audio))
    if not found:
        raise DataError(f"there is no MEAD video under {root}; expected M003/video/front/angry/level_1/001.mp4")
    test = official_test([*(utterance for utterance, *_ in found), *recordings])
    videos = [
        SourceVideo(
            path=path,
            clip_id=_clip_id(utterance, view),
            speaker=utterance.actor,
            corpus="mead",
            split=TEST if utterance in test else "",
            emotion=utterance.emotion,
            level=utterance.level,
            language="en",
            # If no audio was shipped, the clip is dropped with the name of the missing file.
            audio=audio or _expected_audio(path, utterance),
        )
        for utterance, view, path, audio in found
    ]
    return Corpus(sorted(videos, key=lambda video: video.clip_id), problems)


def official_test(utterances: Iterable[Utterance]) -> set[Utterance]:
    """Return the utterances in the test set: the last ones of each actor, emotion and level."""
    groups: dict[tuple[str, str, int], set[Utterance]] = defaultdict(set)
    for utterance in utterances:
        groups[utterance.actor, utterance.emotion, utterance.level].add(utterance)
    test: set[Utterance] = set()
    for (_, emotion, _), group in groups.items():
        test.update(sorted(group)[-TEST_SENTENCES.get(emotion, OTHER_TEST_SENTENCES) :])
    return test


def _all(index: dict[str, list[Path]]) -> list[Path]:
    return sorted(path for paths in index.values() for path in paths)


def _utterance(match: re.Match[str]) -> Utterance:
    return Utterance(match["actor"], match["emotion"], int(match["level"]), int(match["sentence"]))


def _parse_audio_path(path: Path) -> Utterance | None:
    """Return the utterance of an audio file, or None if its path is not one of MEAD's."""
    match = _AUDIO_IN_FOLDERS.fullmatch(path.with_suffix("").as_posix())
    return None if match is None else _utterance(match)


def _clip_id(utterance: Utterance, view: str) -> str:
    return f"{utterance.actor}_{view}_{utterance.emotion}_level{utterance.level}_{utterance.sentence:03d}"


def _expected_audio(video: Path, utterance: Utterance) -> Path:
    """Return the path where the audio of a video should be."""
    if _IN_A_NAME.fullmatch(video.stem):
        return video.with_suffix(".m4a")
    level, emotion = f"level_{utterance.level}", utterance.emotion
    return video.parents[4] / "audio" / emotion / level / f"{utterance.sentence:03d}.m4a"
