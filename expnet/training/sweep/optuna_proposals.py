"""Runs that Optuna proposes, from the scores of the earlier ones; its study is a file in the folder of the sweep."""

from __future__ import annotations

import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

from expnet.config import load_config
from expnet.errors import ConfigError, MissingAssetError
from expnet.training.sweep.objective import Score
from expnet.training.sweep.plan import Plan, Trial, number_text
from expnet.training.sweep.record import Record
from expnet.training.sweep.space import Axis, Choices

if TYPE_CHECKING:
    import optuna

STUDY = "study.log"
"""Optuna's journal in the folder of the sweep, which optuna-dashboard can show."""


class OptunaProposals:
    """The runs of an Optuna study.

    A study that is opened again first returns the runs it knows, in their order, so that unfinished ones go on.

    Args:
        plan: The sweep; its folder must exist.

    Raises:
        MissingAssetError: Optuna is not installed.
        ConfigError: The folder has a study with another direction.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.total = plan.options.trials
        self.independent = plan.options.sampler == "random" and plan.options.pruner == "none"
        self.study = _open_study(plan)
        self._distributions = {key: _distribution(axis) for key, axis in plan.space.items()}
        self._known = deque(self.study.trials)
        self._steps: dict[str, set[int]] = {}
        self._numbers: dict[str, int] = {}

    def next(self) -> Trial | None:
        """Return the next run; values that the configuration refuses count as a run that has failed."""
        while self._known:
            known = self._known.popleft()
            trial = self._trial(known.number, known.params)
            self._steps[trial.name] = set(known.intermediate_values)
            return trial
        while len(self._numbers) < self.total:
            asked = self.study.ask(self._distributions)
            trial = self._trial(asked.number, asked.params)
            self._steps[trial.name] = set()
            try:
                load_config(trial.layers)
            except ConfigError as error:
                record = Record(trial.name, trial.values, state="failed", reason=str(error), final=True)
                record.write(trial.folder)
                self.tell(trial, record, None)
            return trial
        return None

    def _trial(self, number: int, values: dict[str, Any]) -> Trial:
        name = f"trial-{number}"
        self._numbers[name] = number
        texts = {key: _text(self.plan.space.get(key), value) for key, value in values.items()}
        return self.plan.trial(texts, name)

    def report(self, trial: Trial, score: Score) -> bool:
        """Tell the pruner a score, and return its decision."""
        if score.step not in self._steps[trial.name]:
            self._steps[trial.name].add(score.step)
            self._handle(trial).report(score.value, score.step)
        return bool(self._handle(trial).should_prune())

    def tell(self, trial: Trial, record: Record, best: Score | None) -> None:
        """Tell the study how a run ended; one that may be tried again stays open in it."""
        from optuna.trial import TrialState

        number = self._numbers[trial.name]
        if self.study.trials[number].state.is_finished() or not record.ended:
            return
        if record.state == "finished" and best is not None:
            self.study.tell(number, best.value)
        else:
            self.study.tell(number, state=TrialState.PRUNED if record.state == "pruned" else TrialState.FAIL)

    def _handle(self, trial: Trial) -> optuna.trial.Trial:
        from optuna.trial import Trial as OptunaTrial

        return OptunaTrial(self.study, self.study.trials[self._numbers[trial.name]]._trial_id)


def _open_study(plan: Plan) -> optuna.Study:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError as error:
        raise MissingAssetError(
            f"sampler={plan.options.sampler} needs the optuna package: pip install 'expnet[sweep]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    options, seed = plan.options, plan.options.sampler_seed
    several = options.jobs > 1
    samplers: dict[str, Any] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        # Runs that are still going count as bad ones, so that two of them do not try the same.
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=several),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
    }
    pruners: dict[str, Any] = {
        "none": optuna.pruners.NopPruner,
        "median": lambda: optuna.pruners.MedianPruner(options.prune_startup, options.prune_after),
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=options.prune_after),
    }
    study = optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(str(plan.folder / STUDY))),
        sampler=samplers[options.sampler](),
        pruner=pruners[options.pruner](),
        direction=plan.objective.direction,
        load_if_exists=True,
    )
    if study.direction.name.lower() != plan.objective.direction:
        raise ConfigError(
            f"{plan.folder} has a sweep that is to {study.direction.name.lower()}, not {plan.objective.direction}: "
            "give another output=FOLDER."
        )
    return study


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choices):
        return CategoricalDistribution(axis.values)
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _text(axis: Axis | None, value: Any) -> str:
    """Return a value of Optuna as it is written behind ``KEY=``."""
    return str(value) if axis is None or isinstance(axis, Choices) else number_text(axis, value)
