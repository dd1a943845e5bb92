"""Scores the videos of one clip: reads each file once, takes every measure of it and returns its row."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from expnet.audio.alignment import FRAME_RATE
from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.clip_faults import CLIP_FAULTS, clip_fault
from expnet.evaluation.report.results import UNDEFINED, ScoredClip
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.finished_clips import RealPart, VideoOutcome
from expnet.evaluation.videos.measures import PORTRAIT_FACE, Measure
from expnet.evaluation.videos.pairing import SET_PREFIX, PairedClip
from expnet.evaluation.videos.reader import Video, VideoReader, check_readable
from expnet.metrics import UnscorableClipError
from expnet.metrics.functional import mouth_opening

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GivenInputs:
    """Which files the user gives beside the videos.

    Attributes:
        audio: Whether the systems' videos are scored with given audio.
        dubbed: Whether the real clips keep their own audio nevertheless.
        portraits: Whether videos are compared with their portrait.
    """

    audio: bool = False
    dubbed: bool = False
    portraits: bool = False

    def complete(
        self, reader: VideoReader, video: Video, clip: PairedClip, reference: Video | None = None, *, real: bool = False
    ) -> Video:
        """Return a video with the audio and the portrait that it is scored with.

        Args:
            reader: Reads the portrait.
            video: The video, as its file is.
            clip: The clip.
            reference: The real clip, whose first frame is the portrait where none is given.
            real: Whether the video is the real clip itself.

        Raises:
            InputError: A file cannot be decoded.
        """
        unpaired = real and clip.clip_id.startswith(SET_PREFIX)
        if self.audio and not unpaired and not (real and self.dubbed):
            first = round(clip.start * FRAME_RATE) + (reader.first_frame if clip.end is None else 0)
            cut = clip.end is not None or len(video) == reader.frame_limit
            video = video.with_audio(clip.inputs.audio, first, part=cut)
        if not self.portraits:
            return video
        if clip.inputs.portrait is not None:
            return replace(video, portrait=reader.portrait(clip.inputs.portrait))
        real_clip = video if real else reference
        return video if real_clip is None or unpaired else replace(video, portrait=real_clip.first(1))


class VideoScorer:
    """Scores clips with every measure; opened once in each process.

    Args:
        reader: Reads the files.
        measures: The measures to take.
        wanted: The keys of the metrics that go into the rows.
        inputs: Which files the user gives beside the videos.
    """

    def __init__(
        self,
        reader: VideoReader,
        measures: Sequence[Measure],
        wanted: Sequence[str],
        inputs: GivenInputs | None = None,
    ) -> None:
        self.reader = reader
        self.measures = tuple(measures)
        self.wanted = frozenset(wanted)
        self.inputs = inputs or GivenInputs()

    @torch.no_grad()
    def score(self, clip: PairedClip, systems: Sequence[str]) -> Iterator[tuple[str, VideoOutcome]]:
        """Score the videos of some systems, one after the other, so that two videos are in memory at a time.

        Args:
            clip: The clip.
            systems: The systems whose videos are scored; the real clip is read for all of them.
        """
        reference: Video | None = None
        fault = ""
        parts = _RealParts(self, clip)
        if any(clip.paths[system] is not None for system in systems) and GROUND_TRUTH in clip.paths:
            try:
                path = check_readable(clip.reference, GROUND_TRUTH, clip.clip_id)
                reference = self.inputs.complete(self.reader, self._read(path, clip), clip, real=True)
            except CLIP_FAULTS as error:
                failed = _failed(clip, GROUND_TRUTH, error)
                fault = f"the reference cannot be read: {failed.row.reason}"
            if GROUND_TRUTH in systems:
                yield GROUND_TRUTH, failed if reference is None else self._outcome(clip, GROUND_TRUTH, reference)
        for system in systems:
            if system == GROUND_TRUTH:
                continue
            try:
                path = check_readable(clip.paths[system], system, clip.clip_id)
                video = self.inputs.complete(self.reader, self._read(path, clip), clip, reference)
            except CLIP_FAULTS as error:
                yield system, _failed(clip, system, error)
                continue
            if reference is None:
                yield system, self._outcome(clip, system, video, fault=fault)
                continue
            video = video.matched_to(reference)
            outcome = self._outcome(clip, system, video, reference.first(len(video)))
            yield system, replace(outcome, real=parts.over(reference, len(video)))

    def _read(self, path: Path, clip: PairedClip) -> Video:
        """Read a video, or the part of it that the clip is."""
        return self.reader(path) if clip.end is None else self.reader(path, clip.start, clip.end)

    def _outcome(
        self, clip: PairedClip, system: str, video: Video, reference: Video | None = None, *, fault: str = ""
    ) -> VideoOutcome:
        """Score one video."""
        row, scores = self.row(clip, system, video, reference, fault)
        opening: list[float] = []
        if video.face is not None:
            track = mouth_opening(video.face.frontal).masked_fill(~video.face.valid, math.nan)
            opening = [round(value, 5) for value in track.tolist()]
        return VideoOutcome(
            row=row,
            curves=_curves(row, scores),
            opening=opening,
            silent=[] if video.silent is None else video.silent.tolist(),
            source=replace(video.source, frames=len(video)).plain(),
            features=None if scores.features is None else scores.features.cpu(),
            vectors={key: value.cpu() for key, value in scores.vectors.items()},
        )

    def row(
        self, clip: PairedClip, system: str, video: Video, reference: Video | None, fault: str = ""
    ) -> tuple[ScoredClip, Scores]:
        """Return the row of one video, and its scores.

        Args:
            clip: The clip.
            system: The system that made the video.
            video: The video.
            reference: The real clip, of the same length.
            fault: Why there is no real clip, if it could not be read.
        """
        scores, reasons, unscored = self.take(video, reference, real=system == GROUND_TRUTH)
        remarks = [*video.notes, *([fault] if fault else []), *scores.remarks, *reasons]
        values = {key: value for key, value in scores.values.items() if key in self.wanted}
        row = ScoredClip(
            clip_id=clip.clip_id,
            system=system,
            speaker=clip.speaker,
            frames=len(video),
            reason="; ".join(dict.fromkeys(remarks)),
            values=values,
            weights={key: weight for key, weight in scores.weights.items() if key in values},
            unscored=unscored,
        )
        return row, scores

    def take(
        self, video: Video, reference: Video | None, *, real: bool = False
    ) -> tuple[Scores, list[str], dict[str, str]]:
        """Return the scores of one video, and the reasons why some are missing: as remarks, and by metric key.

        Args:
            video: The video to score.
            reference: The real clip, of the same length.
            real: Whether this is the real clip itself, which has no paired scores: they would be perfect.
        """
        scores, remarks, unscored = Scores(), [], dict[str, str]()
        for measure in self.measures:
            keys = [key for key in measure.keys if key in self.wanted]
            if real and (measure.paired or (PORTRAIT_FACE in measure.needs and video.portrait is None)):
                continue
            reason = measure.lacks(video, reference)
            if not reason:
                try:
                    measure.run(scores, video, reference)
                except CLIP_FAULTS as error:
                    reason = str(error) if isinstance(error, UnscorableClipError) else clip_fault(error)
            if reason:
                remarks.append(f"{', '.join(keys)}: {reason}")
                unscored |= dict.fromkeys(keys, reason)
            if not measure.pooled:
                scores.values |= {key: math.nan for key in keys if key not in scores.values}
        undefined = [key for key, value in scores.values.items() if math.isnan(value) and key not in unscored]
        undefined = [key for key in undefined if key in self.wanted]
        if undefined:
            remarks.append(f"undefined: {', '.join(undefined)}")
            unscored |= dict.fromkeys(undefined, UNDEFINED)
        return scores, remarks, unscored


class _RealParts:
    """Scores the first frames of a real clip, once for each length: a shorter video is compared with these alone."""

    def __init__(self, scorer: VideoScorer, clip: PairedClip) -> None:
        self.scorer = scorer
        self.clip = clip
        self.known: dict[int, RealPart] = {}

    def over(self, reference: Video, frames: int) -> RealPart | None:
        """Return the scores of the first frames, or None where they are the whole clip."""
        if frames >= len(reference):
            return None
        if frames not in self.known:
            row, scores = self.scorer.row(self.clip, GROUND_TRUTH, reference.first(frames), None)
            self.known[frames] = RealPart(row, _curves(row, scores))
        return self.known[frames]


def _curves(row: ScoredClip, scores: Scores) -> dict[str, list[float]]:
    return {key: curve.tolist() for key, curve in scores.curves.items() if key in row.values}


def _failed(clip: PairedClip, system: str, error: Exception) -> VideoOutcome:
    """Return what is stored of a video that cannot be read; one without permission is tried again by the next run."""
    reason = clip_fault(error)
    _log.warning("%s, %s: %s", clip.clip_id, system, reason)
    forbidden = isinstance(error, PermissionError) or isinstance(error.__cause__, PermissionError)
    return VideoOutcome(ScoredClip(clip.clip_id, system, clip.speaker, 0, "failed", reason), again=forbidden)
