"""Scores one clip: reads its files once, takes every measure of each and returns a row for each system."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from expnet.config.benchmark import GROUND_TRUTH
from expnet.evaluation.clip_faults import CLIP_FAULTS, clip_fault
from expnet.evaluation.report.results import ScoredClip
from expnet.evaluation.scores import Scores
from expnet.evaluation.videos.finished_clips import ClipOutcome
from expnet.evaluation.videos.measures import Measure
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.reader import Video, VideoReader, check_readable
from expnet.metrics import UnscorableClipError
from expnet.metrics.functional import mouth_opening

_log = logging.getLogger(__name__)


class VideoScorer:
    """Scores clips with every measure; opened once in each process.

    Args:
        reader: Reads the files.
        measures: The measures to take.
        wanted: The keys of the metrics that go into the rows.
    """

    def __init__(self, reader: VideoReader, measures: Sequence[Measure], wanted: Sequence[str]) -> None:
        self.reader = reader
        self.measures = tuple(measures)
        self.wanted = frozenset(wanted)

    @torch.no_grad()
    def score(self, clip: PairedClip) -> ClipOutcome:
        """Score the real clip, then one system after the other, so that two videos are in memory at a time."""
        outcome = ClipOutcome()
        reference: Video | None = None
        fault = ""
        for system in clip.paths:
            try:
                video = self.reader(check_readable(clip.paths[system], system, clip.clip_id))
            except CLIP_FAULTS as error:
                reason = clip_fault(error)
                _log.warning("%s, %s: %s", clip.clip_id, system, reason)
                fault = fault or (f"the reference cannot be read: {reason}" if system == GROUND_TRUTH else "")
                outcome.rows.append(ScoredClip(clip.clip_id, system, clip.speaker, 0, "failed", reason))
                continue
            if system == GROUND_TRUTH:
                reference = video
                self._add(outcome, clip, system, video, None, "")
                continue
            if reference is not None:
                video = video.matched_to(reference)
            real = None if reference is None else reference.first(len(video))
            self._add(outcome, clip, system, video, real, fault)
        return outcome

    def _add(
        self,
        outcome: ClipOutcome,
        clip: PairedClip,
        system: str,
        video: Video,
        reference: Video | None,
        fault: str,
    ) -> None:
        """Add the row of one video, and what else is stored of it."""
        scores, reasons = self.take(video, reference, real=system == GROUND_TRUTH)
        remarks = [*video.notes, *([fault] if fault else []), *scores.remarks, *reasons]
        reason = "; ".join(dict.fromkeys(remarks))
        values = {key: value for key, value in scores.values.items() if key in self.wanted}
        weights = {key: weight for key, weight in scores.weights.items() if key in values}
        outcome.rows.append(ScoredClip(clip.clip_id, system, clip.speaker, len(video), "ok", reason, values, weights))
        for key, curve in scores.curves.items():
            if key in values:
                outcome.curves.setdefault(key, {})[system] = curve.tolist()
        if scores.features is not None:
            outcome.features[system] = scores.features.cpu()
        if video.face is not None:
            opening = mouth_opening(video.face.frontal).masked_fill(~video.face.valid, math.nan)
            outcome.openings[system] = [round(value, 5) for value in opening.tolist()]
        if video.silent is not None and not outcome.silent:
            outcome.silent = video.silent.tolist()
        outcome.sources[system] = replace(video.source, frames=len(video)).plain()

    def take(self, video: Video, reference: Video | None, *, real: bool = False) -> tuple[Scores, list[str]]:
        """Return the scores of one video, and the reasons why some are missing.

        Args:
            video: The video to score.
            reference: The real clip, of the same length.
            real: Whether this is the real clip itself, which has no paired scores: they would be perfect.
        """
        scores, reasons, explained = Scores(), [], set[str]()
        for measure in self.measures:
            keys = [key for key in measure.keys if key in self.wanted]
            if real and measure.paired:
                continue
            reason = measure.lacks(video, reference)
            if not reason:
                try:
                    measure.run(scores, video, reference)
                except CLIP_FAULTS as error:
                    reason = str(error) if isinstance(error, UnscorableClipError) else clip_fault(error)
            if reason:
                reasons.append(f"{', '.join(keys)}: {reason}")
                explained.update(keys)
            if not measure.pooled:
                scores.values |= {key: math.nan for key in keys if key not in scores.values}
        undefined = [key for key, value in scores.values.items() if math.isnan(value) and key not in explained]
        undefined = [key for key in undefined if key in self.wanted]
        if undefined:
            reasons.append(f"undefined: {', '.join(undefined)}")
        return scores, reasons
