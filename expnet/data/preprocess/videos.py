"""Turn videos into a track store: decode, track, cut into shots, fit, write; in processes, and safe to kill.

Each video is worked on by one process from beginning to end, which writes its clips into the store; the parent then
notes the video as finished. Whatever cannot be used becomes a row with its reason. The store is the same for any
number of processes, on this machine or a Ray cluster.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from expnet.data.corpora import SourceVideo, open_corpus
from expnet.data.preprocess.clip_maker import ClipMaker, ClipOptions, dropped_row
from expnet.data.preprocess.engines import Engine, LocalEngine
from expnet.data.preprocess.isolated_workers import WorkerDiedError
from expnet.data.preprocess.sync_offset import OffsetPolicy
from expnet.data.store.manifest import DROPPED, OK, ManifestRow
from expnet.data.store.writer import TrackStoreWriter
from expnet.errors import DataError, ExpnetError

_log = logging.getLogger(__name__)


@dataclass
class PreprocessSummary:
    """What came of a preprocess run.

    Args:
        videos: Videos of the corpus.
        already_done: Videos that an earlier run had finished.
        clips: Usable clips in the store.
        speakers: Speakers of the usable clips.
        frames: Frames of the usable clips.
        seconds: Their length.
        dropped: Number of dropped clips by kind of reason.
        dropped_clips: Names and full reasons of the dropped clips.
        elapsed: Seconds that this run took.
        tracked_frames: Frames of this run's clips.
        problems: Lines and files of the corpus that could not be used, each with its reason.
        terms: Under which terms the corpus comes, empty where nothing is known of it.
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
        """Write the summary as a few lines of text."""
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
    """Track all videos of a corpus into a store; go on where an earlier run was stopped.

    Args:
        root: Folder of videos, or one video.
        store: The store's directory, or a URL such as ``s3://bucket/tracks``.
        corpus: Layout of ``root``, one of :data:`expnet.data.corpora.LAYOUTS`.
        workers: Processes; 0 works in this one, where a crash of a decoder ends the run.
        speakers: A csv with the columns file and speaker, or speakers by file name.
        tracker: ``mediapipe``, or the path of a Face Landmarker ``.task`` file.
        face_model: ``mediapipe468``, or the path of a BFM or FLAME file.
        min_seconds: Shorter shots are dropped.
        offset: What to do with clips whose sound is early or late; they are kept if None.
        official_splits: Take over the corpus's own splits; else training divides it by speaker.
        engine: Where the work is done; ``workers`` processes of this machine if None.
        progress: Show a progress bar on stderr.

    Raises:
        DataError: If there are no videos, none could be used, or the store cannot be written.
        MissingAssetError: If the tracker or the face model is not there.
    """
    start = time.perf_counter()
    found = open_corpus(root, corpus=corpus, speakers=speakers, official_splits=official_splits)
    videos = found.videos
    options = ClipOptions(
        tracker=tracker, face_model=face_model, min_seconds=min_seconds, offset=offset or OffsetPolicy()
    )
    with TrackStoreWriter(store) as writer:
        finished = writer.finished_sources
        todo = [video for video in videos if video.origin not in finished]
        summary = PreprocessSummary(
            videos=len(videos),
            already_done=len(videos) - len(todo),
            problems=[str(problem) for problem in found.problems],
            terms=str(found.terms or ""),
        )
        # The longest first, so that no process is left alone with one at the end.
        todo.sort(key=lambda video: (-_file_size(video.path), video.clip_id))
        dropped = sum(row.status == DROPPED for row in writer.rows)
        make_maker = partial(ClipMaker, store, options)
        with tqdm(total=len(todo), unit="video", disable=not progress, dynamic_ncols=True) as bar:
            for video, outcome in (engine or LocalEngine(workers)).map(make_maker, todo):
                rows = _rows_of(video, outcome)
                writer.commit(rows)
                summary.tracked_frames += sum(row.frames for row in rows)
                bar.update()
                speed = summary.tracked_frames / (time.perf_counter() - start)
                dropped += sum(row.status == DROPPED for row in rows)
                bar.set_postfix_str(f"{speed:.0f} frames/s, {dropped} dropped", refresh=False)
        _summarise(summary, writer.rows)
        if not summary.clips:
            writer.discard()
            raise DataError(_nothing_usable(root, summary))
        writer.finish()
    summary.elapsed = time.perf_counter() - start
    return summary


def _rows_of(video: SourceVideo, outcome: list[ManifestRow] | Exception) -> list[ManifestRow]:
    """Rows of a finished video; one dropped row where it ended the process, an error where the setup is wrong."""
    if isinstance(outcome, ExpnetError):
        raise outcome
    if not isinstance(outcome, Exception):
        return outcome
    if isinstance(outcome, WorkerDiedError):
        reason = f"the video ends the process that reads it: {outcome}"
    else:
        _log.warning("%s failed unexpectedly.", video.path, exc_info=outcome)
        reason = f"unexpected error: {type(outcome).__name__}: {outcome}"
    return [dropped_row(video, video.clip_id, reason)]


def _summarise(summary: PreprocessSummary, rows: list[ManifestRow]) -> None:
    usable = [row for row in rows if row.status == OK]
    dropped = {row.clip_id: row.drop_reason for row in sorted(rows, key=lambda row: row.clip_id) if row.status != OK}
    summary.clips = len(usable)
    summary.speakers = len({row.speaker for row in usable})
    summary.frames = sum(row.frames for row in usable)
    summary.seconds = sum(row.seconds for row in usable)
    # "no sound: the file has no audio stream" is counted as "no sound".
    summary.dropped = dict(Counter(reason.partition(":")[0] for reason in dropped.values()).most_common())
    summary.dropped_clips = dropped


def _nothing_usable(root: str | os.PathLike[str], summary: PreprocessSummary) -> str:
    if summary.videos == 1:
        (reason,) = list(summary.dropped_clips.values())[:1] or ("nothing in it",)
        return f"{root} could not be used: {reason}"
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.dropped.items())
    name, reason = next(iter(summary.dropped_clips.items()))
    return (
        f"none of the {summary.videos} videos in {root} could be used ({reasons}; {name}, for one: {reason}); "
        "give videos of a talking face with sound"
    )


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
