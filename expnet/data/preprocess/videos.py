"""Preprocessing videos into a track store: decode, track, split into shots, fit and write, in parallel and resumable.

Each video is processed by one worker from beginning to end, which writes its clips into the store; the parent then
commits the video. Whatever cannot be used becomes a row with a reason. A fault of the machine (a full disk, a missing
permission, a killed worker) stops the run instead, and the next run does what is left. The store is the same for any
number of workers, on this machine or on a Ray cluster.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from expnet.data.corpora import SourceVideo, open_corpus
from expnet.data.preprocess.clip_maker import MISSING, NO_AUDIO, ClipMaker, ClipOptions, dropped_row
from expnet.data.preprocess.engines import Engine, LocalEngine
from expnet.data.preprocess.isolated_workers import WorkerDiedError
from expnet.data.preprocess.sync_offset import OffsetPolicy
from expnet.data.store.manifest import DROPPED, OK, ManifestRow
from expnet.data.store.writer import TrackStoreWriter
from expnet.errors import DataError, ExpnetError, InputError, MachineError
from expnet.io.machine_faults import is_machine_fault, machine_faults_reported

_log = logging.getLogger(__name__)


@dataclass
class PreprocessSummary:
    """Outcome of a preprocess run.

    Args:
        videos: Number of videos in the corpus.
        already_done: Number of videos that an earlier run had finished.
        clips: Number of usable clips in the store.
        speakers: Number of speakers of the usable clips.
        frames: Number of frames of the usable clips.
        seconds: Total duration of the usable clips.
        dropped: Number of dropped clips by kind of reason.
        dropped_clips: Full reasons of the dropped clips by name.
        elapsed: Duration of this run in seconds.
        tracked_frames: Number of frames of the clips made in this run.
        problems: Lines and files of the corpus that could not be used, with the reasons.
        terms: Terms of use of the corpus, empty if unknown.
    """

    videos: int
    already_done: int = 0
    clips: int = 0
    speakers: int = 0
    frames: int = 0
    seconds: float = 0.0
    dropped: dict[str, int] = field(default_factory=dict)
    dropped_clips: dict[str, str] = field(default_factory=dict)
    elapsed: float = 0.0
    tracked_frames: int = 0
    problems: list[str] = field(default_factory=list)
    terms: str = ""

    def __str__(self) -> str:
        """Format the summary as a few lines of text."""
        done = f" ({self.already_done} of them done before)" if self.already_done else ""
        lines = [
            f"{self.videos} videos{done}: {self.clips} clips of {self.speakers} speakers, {self.frames} frames, "
            f"{self.seconds / 60:.1f} min; {sum(self.dropped.values())} dropped"
        ]
        lines += [f"  {count:5d}  {reason}" for reason, count in self.dropped.items()]
        if self.tracked_frames:
            lines.append(f"{self.tracked_frames / self.elapsed:.0f} frames/s in {self.elapsed:.0f} s")
        if self.problems:
            lines.append(f"{len(self.problems)} lines and files of the corpus that could not be used:")
            lines += [f"  {problem}" for problem in self.problems]
        if self.terms:
            lines.append(f"terms of {self.terms}")
        return "\n".join(lines)


def preprocess(
    root: str | os.PathLike[str],
    store: str | os.PathLike[str],
    *,
    corpus: str = "folder",
    workers: int = 1,
    speakers: str | os.PathLike[str] | Mapping[str, str] | None = None,
    tracker: str = "mediapipe",
    face_model: str = "mediapipe468",
    min_seconds: float = 1.0,
    offset: OffsetPolicy | None = None,
    official_splits: bool = True,
    engine: Engine | None = None,
    progress: bool = True,
) -> PreprocessSummary:
    """Track all videos of a corpus into a store, resuming an interrupted run.

    Args:
        root: A folder of videos, or one video.
        store: Directory of the store, or a URL such as ``s3://bucket/tracks``.
        corpus: Layout of ``root``, one of :data:`expnet.data.corpora.LAYOUTS`.
        workers: Number of processes; 0 works in the calling process, where a crash of a decoder ends the run.
        speakers: A csv file with the columns file and speaker, or a mapping from file name to speaker.
        tracker: ``mediapipe``, ``litert``, or the path of a Face Landmarker ``.task`` file.
        face_model: ``mediapipe468``, the path of a BFM or FLAME file, or ``bfm-deep3d`` for the Basel coefficients of
            Deep3DFaceRecon's network (``expnet assets fetch sadtalker``), which need no face model file.
        min_seconds: Minimum duration; shorter shots are dropped.
        offset: What to do with clips whose audio is early or late; None keeps them.
        official_splits: Keep the corpus's own splits; otherwise training splits it by speaker.
        engine: Where the work is done; by default in ``workers`` processes on this machine.
        progress: Show a progress bar on stderr.

    Raises:
        DataError: If there are no videos, none could be used, or the store cannot be written.
        MissingAssetError: If the tracker or the face model is missing.
        MachineError: If the machine is at fault; the next run continues.
    """
    start = time.perf_counter()
    found = open_corpus(root, corpus=corpus, speakers=speakers, official_splits=official_splits)
    videos = found.videos
    _refuse_inputs_in(store, videos)
    options = ClipOptions(
        tracker=tracker, face_model=face_model, min_seconds=min_seconds, offset=offset or OffsetPolicy()
    )
    with machine_faults_reported(), TrackStoreWriter(store) as writer:
        known = {row.origin: row for row in writer.rows}
        todo = [video for video in videos if video.origin not in known or _arrived(video, known[video.origin])]
        summary = PreprocessSummary(
            videos=len(videos),
            already_done=len(videos) - len(todo),
            problems=[str(problem) for problem in found.problems],
            terms=str(found.terms or ""),
        )
        # The longest videos first, so that no process is left with a long one at the end.
        todo.sort(key=lambda video: (-_file_size(video.path), video.clip_id))
        dropped = sum(row.status == DROPPED for row in writer.rows)
        make_maker = partial(ClipMaker, store, options)
        outcomes = (engine or LocalEngine(workers)).map(make_maker, todo)
        # Closed at once when the run stops, so that no worker writes into a store that has no writer.
        with closing(outcomes), tqdm(total=len(todo), unit="video", disable=not progress, dynamic_ncols=True) as bar:
            for video, outcome in outcomes:
                rows = _rows_of_outcome(video, outcome)
                writer.commit(rows, replaces=video.clip_id)
                summary.tracked_frames += sum(row.frames for row in rows)
                bar.update()
                speed = summary.tracked_frames / (time.perf_counter() - start)
                dropped += sum(row.status == DROPPED for row in rows)
                bar.set_postfix_str(f"{speed:.0f} frames/s, {dropped} dropped", refresh=False)
        _fill_in(summary, writer.rows)
        if not summary.clips:
            writer.discard()
            raise DataError(_no_clip_message(root, summary))
        writer.finish()
    summary.elapsed = time.perf_counter() - start
    return summary


def _refuse_inputs_in(store: str | os.PathLike[str], videos: list[SourceVideo]) -> None:
    """Refuse a store that would be written over its own videos.

    Raises:
        InputError: If a video is in the folder of the store.
    """
    folder = os.path.realpath(store)
    for video in videos:
        for path in (video.path, video.audio):
            if path is not None and Path(os.path.realpath(path)).is_relative_to(folder):
                raise InputError(f"the store {store} would be written over the input {path}; give another --output")


def _arrived(video: SourceVideo, row: ManifestRow) -> bool:
    """Whether a video was dropped because it or its audio file was missing, and that file is there now."""
    if row.drop_reason == MISSING:
        return video.path.exists()
    return row.drop_reason.startswith(NO_AUDIO) and video.audio is not None and video.audio.is_file()


def _rows_of_outcome(video: SourceVideo, outcome: list[ManifestRow] | Exception) -> list[ManifestRow]:
    """Return a video's rows: one dropped row if it crashed its process. Errors of setup and machine are raised."""
    if isinstance(outcome, ExpnetError) or (isinstance(outcome, Exception) and is_machine_fault(outcome)):
        raise outcome
    if not isinstance(outcome, Exception):
        return outcome
    if isinstance(outcome, OSError):  # the readers of videos turn theirs into reasons: this one is of the store
        reason = outcome.strerror or str(outcome)
        raise MachineError(
            f"{outcome.filename or video.path}: {reason}; mend that and run the command again"
        ) from outcome
    if isinstance(outcome, WorkerDiedError):
        if outcome.killed:
            raise MachineError(
                f"the process that reads {video.path} was killed {outcome.tries} times, most likely because memory ran "
                "out; free memory or use fewer workers, and run the command again: it continues where it stopped"
            )
        reason = f"the video crashes the process that reads it: {outcome}"
    else:
        _log.warning("%s failed unexpectedly.", video.path, exc_info=outcome)
        reason = f"unexpected error: {type(outcome).__name__}: {outcome}"
    return [dropped_row(video, video.clip_id, reason)]


def _fill_in(summary: PreprocessSummary, rows: list[ManifestRow]) -> None:
    usable = [row for row in rows if row.status == OK]
    dropped = {row.clip_id: row.drop_reason for row in sorted(rows, key=lambda row: row.clip_id) if row.status != OK}
    summary.clips = len(usable)
    summary.speakers = len({row.speaker for row in usable})
    summary.frames = sum(row.frames for row in usable)
    summary.seconds = sum(row.seconds for row in usable)
    # "no audio: the file has no audio stream" is counted as "no audio".
    summary.dropped = dict(Counter(reason.partition(":")[0] for reason in dropped.values()).most_common())
    summary.dropped_clips = dropped


def _no_clip_message(root: str | os.PathLike[str], summary: PreprocessSummary) -> str:
    if summary.videos == 1:
        (reason,) = list(summary.dropped_clips.values())[:1] or ("nothing in it",)
        return f"{root} could not be used: {reason}"
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.dropped.items())
    name, reason = next(iter(summary.dropped_clips.items()))
    return (
        f"none of the {summary.videos} videos in {root} could be used ({reasons}; for example {name}: {reason}); "
        "give videos of a talking face with audio"
    )


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
