"""Which settings are tried next: an Optuna study that lives in one file and outlives its process.

The sampler's randomness is a function of the seed and the trial's number, so that a study that was
interrupted goes on with the trials that it would have had. A trial that was running is run again with the
same settings; the training below it finds its own saved state and continues.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from yolocore.errors import RefusedError

optuna.logging.set_verbosity(optuna.logging.WARNING)

JOURNAL = "study.journal"
_NAME = "tune"
_RANDOM_TRIALS = 8  # before the sampler has enough to learn from, and before anything is cut short


class Pruned(RefusedError):  # noqa: N818 (it is an outcome, not an error)
    """A training that is so much worse than the others at this epoch that it is not worth its end."""


@dataclass(frozen=True)
class Trial:
    """A training to run. number: from 1. values: of the settings that are searched."""

    number: int
    values: dict[str, float]


class Study:
    """The trials so far, and the next one.

    folder: holds the journal. ranges: of each setting that is searched. first: values of the first trial, within
    these. seed: decides all that is drawn. epochs: of a training.
    """

    def __init__(
        self,
        folder: Path,
        ranges: Mapping[str, BaseDistribution],
        first: Mapping[str, float],
        seed: int,
        epochs: int,
    ) -> None:
        self._ranges = dict(ranges)
        self._seed = seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
        self.optuna = optuna.create_study(
            study_name=_NAME,
            storage=storage,
            direction="maximize",
            pruner=MedianPruner(n_startup_trials=_RANDOM_TRIALS, n_warmup_steps=max(epochs // 4, 1)),
            load_if_exists=True,
        )
        if not self.optuna.trials:
            self.optuna.enqueue_trial(dict(first))

    @property
    def finished(self) -> list[FrozenTrial]:
        return [trial for trial in self.optuna.trials if trial.state.is_finished()]

    @property
    def best(self) -> Trial | None:
        """The trial of the highest fitness so far; None before any has ended."""
        complete = [trial for trial in self.finished if trial.state == TrialState.COMPLETE]
        return _trial(max(complete, key=lambda trial: trial.value or 0.0)) if complete else None

    def next(self) -> Trial:
        """The trial that was interrupted, or a new one."""
        for trial in self.optuna.trials:
            if trial.state == TrialState.RUNNING:
                return _trial(trial)
        (draw,) = np.random.SeedSequence((self._seed, len(self.optuna.trials))).generate_state(1).tolist()
        self.optuna.sampler = TPESampler(n_startup_trials=_RANDOM_TRIALS, multivariate=False, seed=draw)
        asked = self.optuna.ask(self._ranges)
        return Trial(asked.number + 1, dict(asked.params))

    def report(self, trial: Trial, epoch: int, fitness: float) -> None:
        """Say how a training stands after an epoch (from 1). Raises Pruned when it is not worth going on."""
        live = self._live(trial)
        if epoch not in self.optuna.trials[trial.number - 1].intermediate_values:
            live.report(fitness, epoch)
        if live.should_prune():
            raise Pruned

    def tell(self, trial: Trial, fitness: float | None, *, pruned: bool = False) -> None:
        """End a trial: with its fitness, cut short (pruned), or failed (no fitness and not pruned)."""
        state = TrialState.PRUNED if pruned else TrialState.FAIL if fitness is None else TrialState.COMPLETE
        self.optuna.tell(trial.number - 1, fitness if state == TrialState.COMPLETE else None, state)

    def _live(self, trial: Trial) -> optuna.Trial:
        identity = self.optuna.trials[trial.number - 1]._trial_id
        return optuna.Trial(self.optuna, identity)


def _trial(frozen: FrozenTrial) -> Trial:
    return Trial(frozen.number + 1, dict(frozen.params))
