"""tune: real trainings under a study, killed and gone on with, and what they leave."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from yolocore.config import TrainConfig, TuneConfig, load_tree
from yolocore.errors import DataError, PreemptedError, UsageError
from yolocore.model.checkpoint import load_weights
from yolocore.modes import tune as tune_module
from yolocore.modes.inputs import TuneInputs
from yolocore.modes.tune import tune
from yolocore.progress import SILENT

TINY = TuneConfig(
    epochs=1, batch=8, nbs=8, imgsz=32, workers=0, device="cpu", trials=3, search=("lr0", "box"), warmup_epochs=0
)


class Stopped:
    """Ends the process's work when the search says something for the n-th time, as SIGTERM would."""

    def __init__(self, notes: int) -> None:
        self.left = notes

    def start(self, label: str, total: int | None) -> None: ...
    def advance(self, n: int = 1, **figures: float) -> None: ...
    def epoch(self, number: int, row: dict[str, float]) -> None: ...

    def note(self, text: str) -> None:
        self.left -= text.startswith("trial")
        if self.left == 0:
            raise PreemptedError("enough")


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "trials.csv").open()))


@pytest.mark.slow
@pytest.mark.timeout(900)  # eight trainings, each with its pictures
def test_a_search_leaves_the_best_settings_and_goes_on_where_it_was_ended(shapes, database, tmp_path):
    inputs = TuneInputs(data=str(shapes), model="yolo11n")
    whole = tune(TINY, inputs, tmp_path / "whole")
    two, goes_on = TINY.model_copy(update={"trials": 2}), {"resume": True}
    for notes, settings in ((1, {}), (3, goes_on)):  # before the first training, and before the second
        with pytest.raises(PreemptedError):
            tune(two.model_copy(update=settings), inputs, tmp_path / "parts", Stopped(notes))
    assert tune(two, inputs, tmp_path / "parts").trials == 2
    heard = Stopped(99)
    parts = tune(TINY.model_copy(update=goes_on), inputs, tmp_path / "parts", heard)
    assert heard.left == 99 - 2, "the two that were done are not run again: the third begins and ends"
    assert parts.canonical() == whole.canonical()
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")

    assert whole.trials == len(rows(tmp_path / "whole")) == 3
    best = max(rows(tmp_path / "whole"), key=lambda row: float(row["fitness"]))
    assert int(best["trial"]) == whole.best_trial and whole.metrics["fitness"] == pytest.approx(
        float(best["fitness"]), rel=1e-5
    )
    load_weights(tmp_path / "whole/best.pt")
    settings = load_tree(tmp_path / "whole/best.yaml").train
    assert settings.model_dump() == {**TINY.model_dump(include=set(TrainConfig.model_fields)), **whole.best}
    assert load_tree(tmp_path / "parts/best.yaml").train == settings, "which does not ask to resume"
    assert (tmp_path / "whole/trials.png").stat().st_size > 0
    assert tune(TINY, inputs, tmp_path / "whole", SILENT) == whole, "a finished search does nothing"

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    parents = {run.info.run_id for run in found if run.data.tags["yolo.mode"] == "pipeline"}
    trials = [run for run in found if run.data.tags["yolo.mode"] == "train" and run.info.status == "FINISHED"]
    assert len(parents) == 1, "both searches are the same one"
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == parents
    assert {run.data.params["lr0"] for run in trials} >= {"0.002"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"search": ("epochs",)}, "search=epochs: cannot be searched", id="a setting without a range"),
        pytest.param({"optimizer": "auto"}, "optimizer=auto: ignores lr0", id="rates that would be ignored"),
        pytest.param({"lr0": 5.0}, r"lr0=5: is searched from 1e-05 to 0\.1; give", id="a first value out of range"),
        pytest.param(
            {"search": None, "task": "classify", "erasing": 1.0},
            "erasing=1: is searched",
            id="of the task's own choice",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_work(changes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        tune(TINY.model_copy(update=changes), TuneInputs(data="nowhere", model="yolo11n"), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_resume_where_there_is_no_search(shapes, tmp_path):
    asked = TINY.model_copy(update={"resume": True})
    with pytest.raises(UsageError, match="resume=true: nothing that was interrupted lies beside out="):
        tune(asked, TuneInputs(data=str(shapes), model="yolo11n"), tmp_path / "out")


def test_fewer_trials_than_are_done(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(tune_module, "_run_trial", lambda study, trial, *_: study.tell(trial, 0.5))
    inputs = TuneInputs(data=str(shapes), model="yolo11n")
    with pytest.raises(DataError, match="holds no record"):  # of the best training, which was none
        tune(TINY, inputs, tmp_path / "out")
    with pytest.raises(UsageError, match="trials=2: the search has done 3; give as many, or another out="):
        tune(TINY.model_copy(update={"trials": 2}), inputs, tmp_path / "out")
