"""What people look at after a search: the table of trials, how fitness grew, and which settings mattered."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import optuna
from matplotlib.figure import Figure
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from yolocore.store import write_atomic
from yolocore.tune.study import Study

_ENOUGH = 8  # trials from which importances say anything


def write_trials(study: Study, path: Path) -> None:
    """A row a trial: number, how it ended, fitness (empty where it did not end), and the values tried."""
    names = sorted({name for trial in study.finished for name in trial.params})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "state", "fitness", *names])
    for trial in study.finished:
        fitness = f"{trial.value:.6g}" if trial.state == TrialState.COMPLETE else ""
        values = [f"{trial.params[name]:.6g}" if name in trial.params else "" for name in names]
        table.writerow([trial.number + 1, trial.state.name.lower(), fitness, *values])
    write_atomic(path, text.getvalue())


def draw_search(study: Study, path: Path) -> None:
    """Fitness of each trial with the best so far, and the share of its spread that each setting explains."""
    complete = [trial for trial in study.finished if trial.state == TrialState.COMPLETE]
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    history, shares = figure.subplots(1, 2)
    numbers, values = [t.number + 1 for t in complete], [float(t.value or 0.0) for t in complete]
    history.plot(numbers, values, "o", color="#8fb3d9", label="trial")
    best = [max(values[: i + 1]) for i in range(len(values))]
    history.step(numbers, best, where="post", color="#1f3a5f", label="best so far")
    history.set(xlabel="trial", ylabel="fitness", title=f"{len(study.finished)} trials")
    history.legend(frameon=False)
    importances = _importances(study.optuna) if len(complete) >= _ENOUGH else {}
    shares.barh(list(importances)[::-1], list(importances.values())[::-1], color="#3b6ea5")
    shares.set(title="importance" if importances else f"importance: from {_ENOUGH} whole trials on")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _importances(study: optuna.Study) -> dict[str, float]:
    try:
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except (RuntimeError, ValueError, ImportError):  # all trials alike, or scikit-learn is not there
        return {}
