"""tune: search the settings of training.

1. the study names the next trial: the given settings first, then what looks promising
2. train with it: a step of its own in `trials/NNNN`, an MLflow run beside the others
3. tell the study how it ended; a training that lags far behind is cut short
4. after the last one, leave the best settings, the best weights, a table and a picture

Every trial is an ordinary training. Interrupted at any moment and called again, the search goes on with
the trial that was running, which goes on from its own last saved state. Called again for more trials, it
goes on from those that are done.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

from yolocore.config import TrainConfig, TuneConfig
from yolocore.data import open_dataset
from yolocore.errors import RefusedError, UsageError
from yolocore.modes import run
from yolocore.modes.inputs import TrainInputs, TuneInputs, model_digest
from yolocore.modes.request import Request
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import TrainRecord, TuneRecord
from yolocore.store import short, write_atomic
from yolocore.train.start import choose_origin
from yolocore.tune import Pruned, Study, Trial, first_values, ranges
from yolocore.tune.views import draw_search, write_trials

BEST, SETTINGS, TABLE, PICTURE, TRIALS = "best.pt", "best.yaml", "trials.csv", "trials.png", "trials"


def tune(config: TuneConfig, inputs: TuneInputs, out: Path, listener: Listener = SILENT) -> TuneRecord:
    """Train `config.trials` times and leave the settings of the best as `best.yaml`, for `yolo train params=`.

    Raises UsageError for a setting that cannot be searched, a first value outside its range, and fewer trials than
    are done; RefusedError when no training came to its end; and what `train` raises: only a training that diverges
    is a failed trial, any other error ends the search.
    """
    model = model_digest(inputs.model)
    reach = ranges(config, choose_origin(inputs.model, config).task)
    first = first_values(config, reach)
    digests = {"model": model, "data": open_dataset(inputs.data).digest}
    with Step(
        TuneRecord, config, digests, out, resumable=True, resume=config.resume, grows="trials", listener=listener
    ) as step:
        if step.finished:
            return step.finished
        study = Study(step.work, reach, first, config.seed, config.epochs)
        if (done := len(study.finished)) > config.trials:
            raise UsageError(f"trials={config.trials}: the search has done {done}; give as many, or another out=")
        while len(study.finished) < config.trials:
            trial = study.next()
            listener.note(f"trial {trial.number}/{config.trials}: {_text(trial.values)}")
            _run_trial(study, trial, _request(config, inputs, trial, step), listener)
            write_trials(study, step.work / TABLE)
            _keep_only_the_best(study, step.work)
            step.saved()
        best = study.best
        if best is None:
            raise RefusedError(f"none of {config.trials} trainings came to its end; give a lower lr0")
        folder = _folder(step.work, best.number)
        record = TrainRecord.load(folder)
        shutil.copy(folder / record.artifacts["best"].path, step.work / BEST)
        settings = {"train": {**_train_settings(config), **best.values}}
        write_atomic(step.work / SETTINGS, yaml.safe_dump(settings, sort_keys=False))
        draw_search(study, step.work / PICTURE)
        return step.publish(
            metrics={"fitness": record.fitness, **record.metrics},
            artifacts={"best": BEST, "settings": SETTINGS},
            views=(TABLE, PICTURE),
            versions={**record.versions, "optuna": version("optuna")},
            trials=len(study.finished),
            best_trial=best.number,
            best=best.values,
        )


def _run_trial(study: Study, trial: Trial, request: Request, listener: Listener) -> None:
    try:
        record = run(request, _Watch(study, trial, listener))
    except Pruned:
        study.tell(trial, None, pruned=True)
        listener.note(f"trial {trial.number}: cut short, others were better by then")
    except RefusedError as error:
        study.tell(trial, None)
        listener.note(f"trial {trial.number}: failed, {error}")
    else:
        assert isinstance(record, TrainRecord)
        study.tell(trial, record.fitness)
        listener.note(f"trial {trial.number}: fitness {record.fitness:.4f}")


def _request(config: TuneConfig, inputs: TuneInputs, trial: Trial, step: Step[TuneRecord]) -> Request:
    return Request(
        mode="train",
        config=TrainConfig.model_validate({**_train_settings(config), **trial.values}),
        inputs=TrainInputs(**inputs.model_dump()),
        out=_folder(step.work, trial.number),
        pipeline=f"tune-{short(step.lasting_key)}",
    )


def _train_settings(config: TuneConfig) -> dict[str, object]:
    """Of a trial; `resume` is the search's own: a trial that was begun goes on, another one begins."""
    return {name: getattr(config, name) for name in TrainConfig.model_fields} | {"resume": False}


def _folder(work: Path, number: int) -> Path:
    return work / TRIALS / f"{number:04d}"


def _keep_only_the_best(study: Study, work: Path) -> None:
    """Weights of all trials would fill a disk: those of the best stay, of the others the table says enough."""
    best = study.best
    for trial in study.finished:
        if best is None or trial.number + 1 != best.number:
            shutil.rmtree(_folder(work, trial.number + 1), ignore_errors=True)
    for partial in (work / TRIALS).glob(".*.partial"):  # of a training that was cut short or diverged
        shutil.rmtree(partial, ignore_errors=True)


def _text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in values.items())


class _Watch:
    """Passes a training's progress on, and tells the study how each epoch went."""

    def __init__(self, study: Study, trial: Trial, listener: Listener) -> None:
        self._study, self._trial, self._listener = study, trial, listener

    def start(self, label: str, total: int | None) -> None:
        self._listener.start(label, total)

    def advance(self, n: int = 1, **figures: float) -> None:
        self._listener.advance(n, **figures)

    def note(self, text: str) -> None:
        self._listener.note(text)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        self._study.report(self._trial, number, row["fitness"])
