"""Estimating the audio offsets of a track store anew, without tracking its videos again.

Tracking takes hours of a corpus, the estimate minutes; and the estimate improves with the network that listens.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from expnet.audio.alignment import FRAME_RATE
from expnet.data.preprocess.mouth_listener import MouthListener, best_listener
from expnet.data.preprocess.sync_offset import OffsetPolicy, synchronise
from expnet.data.store.manifest import DROPPED, ManifestRow, UnusableClipError
from expnet.data.store.track_store import TrackStore
from expnet.data.store.writer import TrackStoreWriter, write_clip
from expnet.errors import DataError
from expnet.io.machine_faults import machine_faults_reported


@dataclass
class ResynchroniseSummary:
    """Outcome of `resynchronise`.

    Attributes:
        clips: Number of usable clips in the new store.
        moved: Number of them whose audio this run shifted.
        dropped: Full reasons of the clips that this run dropped, by name.
    """

    clips: int = 0
    moved: int = 0
    dropped: dict[str, str] | None = None

    def __str__(self) -> str:
        """Format the summary as a line, and one for each dropped clip."""
        dropped = self.dropped or {}
        lines = [f"{self.clips} clips, the audio of {self.moved} shifted, {len(dropped)} dropped"]
        return "\n".join(lines + [f"  {name}: {reason}" for name, reason in dropped.items()])


def resynchronise(
    source: TrackStore,
    store: str | os.PathLike[str],
    policy: OffsetPolicy,
    *,
    min_seconds: float = 1.0,
    listener: MouthListener | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ResynchroniseSummary:
    """Write a copy of a track store whose clips are synchronised by a new estimate of their offsets.

    A store has the audio of its clips only, so frames that a shift leaves without audio are cut off at either end. The
    columns ``sync_offset`` and ``sync_shift`` of the new manifest still refer to the source videos. An interrupted run
    is resumed.

    Args:
        source: The store to read.
        store: The store to write: a folder or URL.
        policy: What to do with clips whose audio is early or late.
        min_seconds: Minimum duration; clips that are shorter afterwards are dropped.
        listener: Network that predicts the mouth from the audio; None for the best one at hand.
        progress: Called after each clip with the number of clips done and the number of all clips.

    Raises:
        DataError: The store cannot be written, or is the one that is read.
        MachineError: The machine is at fault; the next run continues.
    """
    listener = listener or best_listener()
    rows = source.rows
    summary = ResynchroniseSummary(dropped={})
    with machine_faults_reported(), TrackStoreWriter(store) as writer:
        strangers = {row.clip_id for row in writer.rows} - {row.clip_id for row in [*rows, *source.dropped]}
        if strangers:
            raise DataError(f"{store} has clips of another store, such as {min(strangers)}: give another --output.")
        writer.commit(row for row in source.dropped if row.clip_id not in writer)
        for done, row in enumerate(rows, start=1):
            if row.clip_id not in writer:
                writer.commit([_moved_row(source, row, store, policy, min_seconds, listener)])
            if progress is not None:
                progress(done, len(rows))
        before = {row.clip_id: row for row in rows}
        for row in writer.rows:
            if row.status != DROPPED:
                summary.clips += 1
                summary.moved += row.sync_shift != before[row.clip_id].sync_shift
            elif row.clip_id in before:
                assert summary.dropped is not None
                summary.dropped[row.clip_id] = row.drop_reason
        if not summary.clips:
            writer.discard()
            raise DataError(f"No clip of {source.files.location} is left: every one was dropped.")
        writer.finish()
    return summary


def _moved_row(
    source: TrackStore,
    row: ManifestRow,
    store: str | os.PathLike[str],
    policy: OffsetPolicy,
    min_seconds: float,
    listener: MouthListener,
) -> ManifestRow:
    """Write a synchronised clip into the new store and return its row, or the row of a clip that is dropped."""
    track = source.read(row.clip_id)
    try:
        clip, estimate, shift = synchronise(track, track.audio, 0, policy, listener)
        if clip.frames / FRAME_RATE < min_seconds:
            raise UnusableClipError(
                f"shorter than {min_seconds:g} s: {clip.frames / FRAME_RATE:.2f} s after offset correction"
            )
    except UnusableClipError as error:
        return replace(row, status=DROPPED, drop_reason=str(error), shard="", shard_clip=0, first_frame=0)
    return replace(
        write_clip(store, clip, sha256=row.sha256),
        source_part=row.source_part,
        tracker=row.tracker,
        sync_offset=row.sync_shift + estimate.frames,
        sync_confidence=estimate.confidence,
        sync_shift=row.sync_shift + shift,
    )
