"""Which process scores which clip: this one, processes that it starts, or those that torchrun or SLURM started."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from expnet.config.benchmark import DevicesConfig, VideoBenchmarkConfig
from expnet.data.preprocess.isolated_workers import START_METHOD, WorkerDiedError, isolated_map
from expnet.errors import InputError
from expnet.evaluation.report.results import ScoredClip
from expnet.evaluation.videos.finished_clips import FinishedClips, VideoOutcome
from expnet.evaluation.videos.pairing import PairedClip
from expnet.evaluation.videos.scoring_setup import open_scoring_setup
from expnet.io.available_memory import available_memory
from expnet.io.launcher import LaunchedProcess, available_cores

_log = logging.getLogger(__name__)
MEMORY_OF_PROCESS = 2 * 2**30
"""Bytes that one process takes with all networks and two videos of a minute at 256 pixels."""


def choose_device(accelerator: str, index: int) -> torch.device:
    """Return the ``index``-th device of this machine, modulo their number.

    Raises:
        InputError: A GPU is requested and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("trainer.accelerator=gpu, but torch sees no GPU here; leave it at auto, or fix the driver.")
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", index % torch.cuda.device_count())


def process_count(options: DevicesConfig, process: LaunchedProcess) -> int:
    """Return the number of processes to start: one where a launcher has started them already."""
    if process.world > 1:
        return 1
    if options.devices > 0:
        return options.devices
    if choose_device(options.accelerator, 0).type == "cuda":
        return torch.cuda.device_count()
    free = available_memory()
    most = available_cores() if free is None else max(free // MEMORY_OF_PROCESS, 1)
    return min(available_cores(), most)


class ClipWorker:
    """Scores clips and stores them; made once in each process.

    Args:
        config: The configuration of the benchmark.
        work: Where finished clips are stored.
        device_counter: A counter shared by the processes of this machine, so that each takes another device; None for
            a single process.
        processes: The number of processes that share the cores.
        index: The index of this process's device if there is no counter.
    """

    def __init__(
        self,
        config: VideoBenchmarkConfig,
        work: FinishedClips,
        device_counter: Any | None,
        processes: int,
        index: int = 0,
    ) -> None:
        torch.set_num_threads(config.trainer.threads or max(available_cores() // processes, 1))
        if device_counter is not None:
            with device_counter.get_lock():
                index = device_counter.value
                device_counter.value += 1
        self.work = work
        self.scorer = open_scoring_setup(config, choose_device(config.trainer.accelerator, index)).scorer

    def __call__(self, clip: PairedClip) -> None:
        """Score what is not finished of one clip, and store each video as soon as it is scored."""
        for system, outcome in self.scorer.score(clip, self.work.unfinished(clip)):
            self.work.write(clip, system, outcome)


def score_all(
    config: VideoBenchmarkConfig, clips: Sequence[PairedClip], work: FinishedClips, process: LaunchedProcess
) -> None:
    """Score this process's share of the clips that are not finished yet.

    With several processes, a clip that kills its process (a crash in a decoder, lack of memory) becomes failed rows,
    which the next run tries again; with one process it ends the run.
    """
    share = process.share(clips)
    todo = [clip for clip in share if work.unfinished(clip)]
    if len(todo) < len(share):
        _log.info("%d of %d clips were already scored by an earlier run", len(share) - len(todo), len(share))
    processes = min(process_count(config.trainer, process), max(len(todo), 1))
    device_counter = multiprocessing.get_context(START_METHOD).Value("i", 0) if processes > 1 else None
    make = partial(ClipWorker, config, work, device_counter, max(processes, process.world), process.local_rank)
    # The longest clips come first, so that no process is left alone with one at the end.
    todo.sort(key=lambda clip: (-sum(_size(path) for path in clip.paths.values()), clip.clip_id))
    done = isolated_map(make, todo, processes if processes > 1 else 0)
    for clip, outcome in tqdm(done, total=len(todo), desc="Scoring", unit="clip", disable=None, leave=False):
        if isinstance(outcome, WorkerDiedError):
            reason = f"the process that scored the clip died: {outcome}"
            for system in work.unfinished(clip):
                row = ScoredClip(clip.clip_id, system, clip.speaker, 0, "failed", reason)
                work.write(clip, system, VideoOutcome(row, again=True))
        elif isinstance(outcome, Exception):
            raise outcome


def _size(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.is_file() else 0
