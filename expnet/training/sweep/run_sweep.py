"""The loop of a sweep: start runs, follow their scores, stop those that fall behind, and record how each ends."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from expnet.errors import ExpnetError, InputError
from expnet.training.child_runs import LOG, check_runs
from expnet.training.sweep.jobs import Job, Jobs
from expnet.training.sweep.plan import Plan, Trial
from expnet.training.sweep.proposals import Proposals
from expnet.training.sweep.record import Record, State, read_record

_TOO_MANY = 3
"""So many runs in a row that fail, not because of their loss, mean that something is wrong with all of them."""
_SECONDS_BETWEEN_LOOKS = 1.0

_log = logging.getLogger(__name__)


@dataclass
class _Running:
    """A run with its job."""

    trial: Trial
    record: Record
    job: Job
    pruned: bool = False
    reported: int = 0
    started: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)


class SweepLoop:
    """Runs a sweep until no run is left.

    Args:
        plan: The sweep.
        proposals: Which run comes next.
        jobs: Where the runs train.

    Attributes:
        records: Every run that was started or found, in order.
    """

    def __init__(self, plan: Plan, proposals: Proposals, jobs: Jobs) -> None:
        self.plan, self.proposals, self.jobs = plan, proposals, jobs
        self.records: list[Record] = []
        self._running: list[_Running] = []
        self._failures = 0

    def run(self) -> None:
        """Run all that is left.

        Raises:
            ExpnetError: Three runs in a row have failed; the others were stopped and are resumed by the next command.
            InputError: A run refused its input.
        """
        try:
            while self._start() or self._running:
                for running in list(self._running):
                    self._look(running)
                time.sleep(self.jobs.seconds)
        finally:
            self.jobs.leave([running.job for running in self._running])

    def _start(self) -> bool:
        """Start as many runs as there are places for; return whether any was started."""
        batch: list[tuple[Trial, Record]] = []
        limit = self.proposals.total if self.jobs.queues and self.proposals.independent else self.plan.options.jobs
        while len(self._running) + len(batch) < limit:
            trial = self.proposals.next()
            if trial is None:
                break
            record = self._open(trial)
            if record.ended:
                self.proposals.tell(trial, record, self.plan.objective.best(trial.folder))
            else:
                batch.append((trial, record))
        for trial, record in batch:
            record.state, record.reason = "running", ""
            record.write(trial.folder)
        started = self.jobs.start([trial for trial, _ in batch])
        self._running += [_Running(trial, record, job) for (trial, record), job in zip(batch, started, strict=True)]
        return bool(batch)

    def _open(self, trial: Trial) -> Record:
        """Return the record of a run, checked against its folder."""
        check_runs([trial])
        record = read_record(trial)
        if trial.done and record.state == "running":  # the command was killed after the run had ended
            record.state = "finished"
        self.records.append(record)
        return record

    def _look(self, running: _Running) -> None:
        """Follow a run: report its new scores, and record its end."""
        code = running.job.ended()
        now = time.monotonic()
        if code is None and now - running.looked < _SECONDS_BETWEEN_LOOKS:
            return
        running.looked = now
        trial = running.trial
        for score in self.plan.objective.scores(trial.folder)[running.reported :]:
            running.reported += 1
            if self.proposals.report(trial, score) and code is None and not running.pruned:
                running.pruned = True
                running.record.reason = f"fell behind at step {score.step}"
                running.job.stop()
        if code is not None:
            self._running.remove(running)
            self._end(running, code)

    def _end(self, running: _Running, code: int) -> None:
        """Record how a run ended, and stop the sweep where the next runs would end the same way."""
        trial, record = running.trial, running.record
        best = self.plan.objective.best(trial.folder)
        record.state = self._state(running, code, measured=best is not None)
        if record.state == "finished":
            record.reason = ""
        elif record.state == "failed":
            last = trial.last_line()
            record.reason = last or f"exit code {code}"
            record.final = trial.stopped_on_bad_loss
            if code == 0:
                record.reason = f"{self.plan.objective.name} was not measured"
        record.write(trial.folder)
        self.proposals.tell(trial, record, best)
        ended = sum(one.state != "running" for one in self.records)
        score = "" if best is None else f", {self.plan.objective.name} {best.value:.4g} at step {best.step}"
        seconds = time.monotonic() - running.started
        state = record.state if record.state != "failed" else f"failed ({record.reason})"
        _log.info("[%d/%d] %s: %s%s, %.0f s", ended, self.proposals.total, trial.name, state, score, seconds)
        if record.state == "failed" and not record.final:
            self._failed(trial, record, code)
        else:
            self._failures = 0

    def _state(self, running: _Running, code: int, *, measured: bool) -> State:
        if code == 0 and running.trial.done:
            return "finished" if measured else "failed"
        return "pruned" if running.pruned else "failed"

    def _failed(self, trial: Trial, record: Record, code: int) -> None:
        """Count failures of another kind than a bad loss.

        Raises:
            InputError: The run refused its input.
            ExpnetError: Too many runs in a row have failed.
        """
        self._failures += 1
        reason = record.reason.removeprefix("expnet: ")
        if code == InputError.exit_code:
            raise InputError(f"{trial.name}: {reason}")
        if self._failures >= _TOO_MANY:
            raise ExpnetError(
                f"{_TOO_MANY} runs in a row have failed, the last one with: {reason} (full log: {trial.folder / LOG}). "
                "Repeat the same command to continue."
            )
