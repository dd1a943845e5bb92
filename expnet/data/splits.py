"""Divide clips into training, validation and test by speaker."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence

from expnet.data.manifest import ClipRow
from expnet.data.tracks import SPLITS
from expnet.errors import ConfigError, DataError

TRAIN, VALIDATION, TEST = SPLITS

_log = logging.getLogger(__name__)


def assign_splits(
    rows: Sequence[ClipRow],
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    allow_shared_speakers: bool = False,
) -> dict[str, str]:
    """Give every clip a split, so that no speaker is on two sides.

    Splits that a corpus gives stay, and take all other clips of the same speaker with them. The remaining speakers
    are ordered by a hash of the seed and their name, so that adding a speaker moves no other; validation and test
    are filled from the front until they have their share of the remaining frames, and at least one speaker each if
    there are three or more.

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
        DataError: If given splits have a speaker on two sides, and that was not allowed.
    """
    options = (validation_fraction, test_fraction, seed, allow_shared_speakers)
    return dict(zip((row.clip_id for row in rows), split_by_speaker(rows, *options), strict=True))


def split_by_speaker(
    rows: Sequence[ClipRow],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    allow_shared_speakers: bool,
) -> list[str]:
    """:func:`assign_splits` for clips whose names need not be unique: a split for each row."""
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
        raise ConfigError(
            f"validation_fraction {validation_fraction} and test_fraction {test_fraction} must be 0 or more and "
            "leave something to train on"
        )
    given: dict[str, set[str]] = defaultdict(set)
    frames: dict[str, int] = defaultdict(int)
    for row in rows:
        frames[row.speaker] += row.frames
        if row.split:
            given[row.speaker].add(row.split)
    shared = sorted(speaker for speaker, splits in given.items() if len(splits) > 1)
    if shared and not allow_shared_speakers:
        raise DataError(
            f"the splits that the corpus gives have {len(shared)} speakers on two sides (such as {shared[0]}); "
            "set data.allow_shared_speakers=true to accept that, or remove the splits from the manifest"
        )
    free = {speaker: count for speaker, count in frames.items() if speaker not in given}
    taken = set().union(*given.values())
    by_speaker = _divide(free, validation_fraction, test_fraction, seed, taken)
    for speaker, splits in given.items():
        # Clips without a split, of a speaker who is on two sides by the corpus's own rule, may only train.
        by_speaker[speaker] = next(iter(splits)) if len(splits) == 1 else TRAIN
    return [row.split or by_speaker[row.speaker] for row in rows]


def _divide(
    frames: dict[str, int], validation_fraction: float, test_fraction: float, seed: int, given: set[str]
) -> dict[str, str]:
    """Divide speakers, each with a number of frames; ``given`` are the splits that have clips already."""
    order = sorted(frames, key=lambda speaker: hashlib.sha256(f"{seed}/{speaker}".encode()).digest())
    result = dict.fromkeys(order, TRAIN)
    total = sum(frames.values())
    for split, fraction in ((TEST, test_fraction), (VALIDATION, validation_fraction)):
        target, filled = fraction * total, 0
        # Speakers that would overshoot are passed over: one who has half the corpus belongs into training.
        for speaker in order:
            if result[speaker] == TRAIN and filled < target and frames[speaker] <= 1.5 * (target - filled):
                result[speaker] = split
                filled += frames[speaker]
        training = [speaker for speaker in order if result[speaker] == TRAIN]
        if fraction > 0 and not filled and split not in given:
            others = len(training) - (split == TEST and validation_fraction > 0 and VALIDATION not in given)
            if others >= 2 or (others == 1 and TRAIN in given):
                result[min(training, key=lambda speaker: frames[speaker])] = split
            else:
                _log.warning("With %d speakers there is none to spare for the %s split.", len(frames), split)
    return result
