"""Divide clips into training, validation and test by speaker, or those of each speaker by time."""

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
"""Frames of a part of a clip, at least: a border that is nearer to the end of a clip is moved there."""

_log = logging.getLogger(__name__)


def assign_splits(
    rows: Sequence[ManifestRow],
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    allow_shared_speakers: bool = False,
) -> dict[str, str]:
    """Give every clip a split, so that no speaker is on two sides.

    Splits that a corpus gives stay, take all other clips of the same speaker with them, and get no other speaker of
    that corpus: an official test set remains what it is. The remaining speakers are ordered by a hash of the seed and
    their name, so that adding a speaker moves no other; validation and test are filled from the front until they have
    their share of the remaining frames, and at least one speaker each if there are three or more.

    Where speakers may be shared, clips without a split of speakers who are tested on are divided, too, by speaker,
    into training and validation.

    Args:
        rows: The clips.
        validation_fraction: Share of frames for validation.
        test_fraction: Share of frames for test.
        seed: Another seed gives another division.
        allow_shared_speakers: Accept given splits that have a speaker on two sides (MEAD's official test sentences).

    Returns:
        Split by clip name: ``train``, ``validation`` or ``test``.

    Raises:
        ConfigError: If the fractions leave nothing to train on.
        DataError: If given splits have a speaker on two sides, or leave nobody to train on, and that was not allowed.
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
    """:func:`assign_splits` for clips whose names need not be unique: a split for each row."""
    _check_fractions(validation_fraction, test_fraction)
    given: dict[str, set[str]] = defaultdict(set)
    frames: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.split:
            given[row.speaker].add(row.split)
        else:
            frames[row.speaker] += row.frames
    _refuse_shared(given, frames, allow_shared_speakers)
    # Who may be drawn: those without a split, and, where that is allowed, those of whom only test clips have one.
    free = {
        speaker: count
        for speaker, count in frames.items()
        if speaker not in given or (allow_shared_speakers and given[speaker] == {TEST})
    }
    by_speaker = _divide(free, validation_fraction, test_fraction, seed, _closed(rows))
    for speaker, splits in given.items():
        if speaker not in free:
            # Clips without a split, of a speaker who is on two sides by the corpus's own rule, may only train.
            by_speaker[speaker] = next(iter(splits)) if len(splits) == 1 else TRAIN
    return [row.split or by_speaker[row.speaker] for row in rows]


def split_by_time(
    rows: Sequence[ManifestRow], validation_fraction: float, test_fraction: float
) -> list[list[tuple[str, ManifestRow]]]:
    """Cut each speaker's speech into a beginning to train on, a part to validate on, and an end to test on.

    A speaker's clips are put end to end in the order of their sources and of the time in them; a clip on a border is
    cut in two. This is for models of one person, of whom nobody else could be held out; splits that corpora give are
    not looked at.

    Args:
        rows: The clips.
        validation_fraction: Share of each speaker's frames for validation.
        test_fraction: The same for test.

    Returns:
        For each clip its parts, each with its split. A part is a row of the same name with frames of its own.

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
        test = _near(ends, ends[-1] * (1 - test_fraction))
        validation = _near(ends, ends[-1] * (1 - test_fraction - validation_fraction))
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


def _near(ends: Sequence[int], border: float) -> int:
    """The border in whole frames, or the end of a clip that is nearer than the shortest part."""
    nearest = min(ends, key=lambda end: abs(end - border))
    return nearest if abs(nearest - border) < SHORTEST_PART else round(border)


def _check_fractions(validation_fraction: float, test_fraction: float) -> None:
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
        raise ConfigError(
            f"validation_fraction {validation_fraction} and test_fraction {test_fraction} must be 0 or more and "
            "leave something to train on"
        )


def _refuse_shared(given: dict[str, set[str]], frames: dict[str, int], allowed: bool) -> None:
    """Complain where splits that a corpus gives have speakers on two sides, or all speakers in the test set."""
    shared = sorted(speaker for speaker, splits in given.items() if len(splits) > 1)
    tested = sorted(speaker for speaker in frames if given.get(speaker) == {TEST})
    if allowed or not (shared or (tested and len(tested) == len(frames) and not any(map(_trains, given.values())))):
        return
    speakers = shared or tested
    raise DataError(
        f"the splits that the corpus gives have {len(speakers)} speakers on two sides (such as {speakers[0]}); "
        "set data.allow_shared_speakers=true to accept that, or make the store with --ignore-splits"
    )


def _trains(splits: set[str]) -> bool:
    return TRAIN in splits


def _closed(rows: Sequence[ManifestRow]) -> dict[str, set[str]]:
    """Speakers who may not be drawn into a split, by split: a corpus of theirs says who is in it."""
    corpora = {split: {row.corpus for row in rows if row.split == split} for split in (TEST, VALIDATION)}
    return {split: {row.speaker for row in rows if row.corpus in names} for split, names in corpora.items()}


def _divide(
    frames: dict[str, int], validation_fraction: float, test_fraction: float, seed: int, closed: dict[str, set[str]]
) -> dict[str, str]:
    """Divide speakers, each with a number of frames; those who are closed to a split are not drawn into it."""
    order = sorted(frames, key=lambda speaker: hashlib.sha256(f"{seed}/{speaker}".encode()).digest())
    result = dict.fromkeys(order, TRAIN)
    for split, fraction in ((TEST, test_fraction), (VALIDATION, validation_fraction)):
        candidates = [speaker for speaker in order if speaker not in closed[split]]
        target, filled = fraction * sum(frames[speaker] for speaker in candidates), 0
        # Speakers that would overshoot are passed over: one who has half the corpus belongs into training.
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
                _log.warning("With %d speakers there is none to spare for the %s split.", len(frames), split)
    return result
