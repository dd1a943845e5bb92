"""Splits of clips into training, validation and test: by speaker, or by time within each speaker."""

import hashlib
import itertools
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from expnet.data.store.manifest import ManifestRow
from expnet.data.store.track import SPLITS
from expnet.errors import ConfigError, DataError

TRAIN, VALIDATION, TEST = SPLITS

SHORTEST_PART = 25
"""Shortest part of a clip in frames: a boundary nearer than this to an end of a clip is moved there."""

_log = logging.getLogger(__name__)


def assign_splits(
    rows: Sequence[ManifestRow],
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    allow_shared_speakers: bool = False,
) -> dict[str, str]:
    """Assign a split to every clip, so that no speaker is in two splits.

    Splits assigned by a corpus are kept. They extend to the other clips of the same speakers, and no further speaker of
    that corpus joins an assigned validation or test split, so an official test set stays what it is. The remaining
    speakers are ordered by a hash of seed and name, so adding a speaker moves no other. Test and validation are filled
    in this order up to their fraction of the remaining frames, with at least one speaker each if there are three or
    more.

    If shared speakers are allowed, clips without a split whose speakers have only test clips are divided by speaker
    into training and validation as well.

    Args:
        rows: The clips.
        validation_fraction: Fraction of frames for validation.
        test_fraction: Fraction of frames for test.
        seed: Seed of the order of speakers.
        allow_shared_speakers: Accept assigned splits that share speakers (MEAD's official test sentences).

    Returns:
        Split by clip name: ``train``, ``validation`` or ``test``.

    Raises:
        ConfigError: If the fractions leave nothing to train on.
        DataError: If assigned splits share speakers, or leave no training speaker, and that is not allowed.
    """
    options = (validation_fraction, test_fraction, seed, allow_shared_speakers)
    return dict(zip((row.clip_id for row in rows), split_by_speaker(rows, *options), strict=True))


def split_by_speaker(
    rows: Sequence[ManifestRow],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    allow_shared_speakers: bool,
) -> list[str]:
    """Assign a split to every row, as :func:`assign_splits` does; the names of clips need not be unique."""
    _check_fractions(validation_fraction, test_fraction)
    given: dict[str, set[str]] = defaultdict(set)
    frames: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.split:
            given[row.speaker].add(row.split)
        else:
            frames[row.speaker] += row.frames
    for corpus in sorted({row.corpus for row in rows}):
        refuse_shared_speakers([row for row in rows if row.corpus == corpus], allow_shared_speakers)
    _refuse_shared(given, frames, allow_shared_speakers)
    # Speakers to assign: those without a split and, if shared speakers are allowed, those with test clips only.
    free = {
        speaker: count
        for speaker, count in frames.items()
        if speaker not in given or (allow_shared_speakers and given[speaker] == {TEST})
    }
    by_speaker = _assign_speakers(free, validation_fraction, test_fraction, seed, _excluded_speakers(rows))
    for speaker, splits in given.items():
        if speaker not in free:
            # Further clips of a speaker whom the corpus itself puts in two splits may only be used for training.
            by_speaker[speaker] = next(iter(splits)) if len(splits) == 1 else TRAIN
    return [row.split or by_speaker[row.speaker] for row in rows]


def split_by_time(
    rows: Sequence[ManifestRow], validation_fraction: float, test_fraction: float
) -> list[list[tuple[str, ManifestRow]]]:
    """Divide each speaker's clips into a beginning for training, a part for validation, and an end for test.

    A speaker's clips are concatenated in the order of their sources and of their times in them, and a clip on a
    boundary is cut in two. This is for models of one person, for whom no other speaker can be held out. Splits assigned
    by corpora are ignored.

    Args:
        rows: The clips.
        validation_fraction: Fraction of each speaker's frames for validation.
        test_fraction: Fraction of each speaker's frames for test.

    Returns:
        The parts of each clip with their splits. A part is a row with the clip's name and its own range of frames.

    Raises:
        ConfigError: If the fractions leave nothing to train on.
    """
    _check_fractions(validation_fraction, test_fraction)
    parts: list[list[tuple[str, ManifestRow]]] = [[] for _ in rows]
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(rows)), key=lambda i: (rows[i].source, rows[i].source_start, rows[i].clip_id)):
        by_speaker[rows[index].speaker].append(index)
    for indices in by_speaker.values():
        ends = [0, *itertools.accumulate(rows[index].frames for index in indices)]
        test = _snap_to_clip_end(ends, ends[-1] * (1 - test_fraction))
        validation = _snap_to_clip_end(ends, ends[-1] * (1 - test_fraction - validation_fraction))
        sections = ((TRAIN, 0, validation), (VALIDATION, validation, test), (TEST, test, ends[-1]))
        for index, begin in zip(indices, ends, strict=False):
            row = rows[index]
            for split, section_begin, section_end in sections:
                first, last = max(section_begin - begin, 0), min(section_end - begin, row.frames)
                if first < last:
                    start = row.source_start + first / row.fps
                    part = replace(row, first_frame=row.first_frame + first, frames=last - first, source_start=start)
                    parts[index].append((split, part))
    return parts


def _snap_to_clip_end(ends: Sequence[int], border: float) -> int:
    """Round a boundary to whole frames, or to the end of a clip that is nearer than the shortest part."""
    nearest = min(ends, key=lambda end: abs(end - border))
    return nearest if abs(nearest - border) < SHORTEST_PART else round(border)


def _check_fractions(validation_fraction: float, test_fraction: float) -> None:
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
        raise ConfigError(
            f"validation_fraction {validation_fraction} and test_fraction {test_fraction} must be 0 or more and "
            "leave something to train on"
        )


def refuse_shared_speakers(rows: Sequence[ManifestRow], allowed: bool) -> None:
    """Refuse clips of one corpus or store whose assigned splits share speakers or leave nobody to train on.

    Raises:
        DataError: If they do, and that is not allowed.
    """
    given: dict[str, set[str]] = defaultdict(set)
    frames: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.split:
            given[row.speaker].add(row.split)
        else:
            frames[row.speaker] += row.frames
    _refuse_shared(given, frames, allowed, ", ".join(sorted({row.corpus for row in rows} - {""})))


def _refuse_shared(given: dict[str, set[str]], frames: dict[str, int], allowed: bool, corpora: str = "") -> None:
    """Refuse assigned splits in which speakers are in two splits, or all speakers in the test set."""
    shared = sorted(speaker for speaker, splits in given.items() if len(splits) > 1)
    tested = sorted(speaker for speaker in frames if given.get(speaker) == {TEST})
    if allowed or not (shared or (tested and len(tested) == len(frames) and not any(map(_trains, given.values())))):
        return
    speakers = shared or tested
    raise DataError(
        f"the splits assigned by the corpus{corpora and ' '}{corpora} have {len(speakers)} speakers in two splits "
        f"(such as {speakers[0]}); set data.allow_shared_speakers=true to accept that, "
        "or make the store with --ignore-splits"
    )


def _trains(splits: set[str]) -> bool:
    return TRAIN in splits


def _excluded_speakers(rows: Sequence[ManifestRow]) -> dict[str, set[str]]:
    """Return the speakers who may not join a split, by split, because their corpus defines who is in it."""
    corpora = {split: {row.corpus for row in rows if row.split == split} for split in (TEST, VALIDATION)}
    return {split: {row.speaker for row in rows if row.corpus in names} for split, names in corpora.items()}


def _assign_speakers(
    frames: dict[str, int], validation_fraction: float, test_fraction: float, seed: int, closed: dict[str, set[str]]
) -> dict[str, str]:
    """Assign speakers, given with their numbers of frames, to splits that they may join."""
    order = sorted(frames, key=lambda speaker: hashlib.sha256(f"{seed}/{speaker}".encode()).digest())
    result = dict.fromkeys(order, TRAIN)
    for split, fraction in ((TEST, test_fraction), (VALIDATION, validation_fraction)):
        candidates = [speaker for speaker in order if speaker not in closed[split]]
        target, filled = fraction * sum(frames[speaker] for speaker in candidates), 0
        # Speakers that would overshoot the target are skipped: one with half of the corpus belongs in training.
        for speaker in candidates:
            if result[speaker] == TRAIN and filled < target and frames[speaker] <= 1.5 * (target - filled):
                result[speaker] = split
                filled += frames[speaker]
        training = [speaker for speaker in order if result[speaker] == TRAIN]
        if fraction > 0 and not filled and not closed[split]:
            others = len(training) - (split == TEST and validation_fraction > 0 and not closed[VALIDATION])
            if others >= 2:
                result[min(training, key=lambda speaker: frames[speaker])] = split
            else:
                _log.warning("With %d speakers, none can be spared for the %s split.", len(frames), split)
    return result
