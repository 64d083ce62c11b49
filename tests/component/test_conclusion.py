"""A run's own record is written whatever became of the run, and of the servers around it."""

import json
from types import SimpleNamespace

import pytest

from yolocore.component.conclusion import conclude
from yolocore.config import ValConfig
from yolocore.errors import DataError
from yolocore.lineage import client
from yolocore.lineage.runs import track

RUN = "run-1"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Concludes the run; returns its record and its page."""
    monkeypatch.setenv("YOLO_PIPELINE", RUN)
    record = SimpleNamespace(path=str(tmp_path / "record"), metadata={})
    report = SimpleNamespace(path=str(tmp_path / "report"))

    def write(state="SUCCEEDED", error=""):
        conclude(state=state, error=error, commit="abc", record=record, report=report)
        assert record.metadata["state"] == state
        return json.loads((tmp_path / "record").read_text()), (tmp_path / "report").read_text()

    return write


def fails():
    with track("val", ValConfig(), pipeline=RUN, request="r") as run:
        run.epoch(1, {"map50": 0.5})
        raise DataError("broken")


def test_what_mlflow_knows_of_the_steps_is_told_and_the_run_ended(database, written):
    with pytest.raises(DataError):
        fails()
    record, page = written("FAILED", "a step failed")
    (step,) = record["steps"]
    assert (step["mode"], step["status"], step["metrics"]) == ("val", "FAILED", {"map50": 0.5})
    assert (record["state"], record["error"], record["commit"], record["untold"]) == (
        "FAILED",
        "a step failed",
        "abc",
        "",
    )
    assert page.startswith("# FAILED\n\na step failed\n")
    assert "| val | FAILED | map50 0.5 |" in page
    assert "or that nothing tracks, are not there" in page
    api, experiment = client.connect()
    (parent,) = api.search_runs([experiment], "tags.`yolo.mode` = 'pipeline'")
    assert parent.info.status == "FAILED"


def test_a_run_without_steps_says_why_there_are_none(database, written):
    record, page = written()
    assert (record["steps"], record["untold"]) == ([], "")
    assert (
        "MLflow knows of none; those that Kubeflow took from its cache, or that nothing tracks, it never hears of."
        in page
    )
    assert "| step |" not in page


def test_with_mlflow_away_the_record_is_there_and_the_step_ends_well(database, written, monkeypatch, capsys):
    """The orchestrator would drop what a failing step has written."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    record, page = written("FAILED", "a step failed")
    line = "MLflow at http://127.0.0.1:9: cannot be used ([Errno 111] Connection refused); start it, or change or unset"
    assert (record["state"], record["error"], record["steps"]) == ("FAILED", "a step failed", [])
    assert record["untold"].startswith(line)
    assert f"No steps are told of here: {line}" in page
    said = capsys.readouterr().err
    assert said.startswith(f"conclude: {line}") and said.count("\n") == 1


@pytest.mark.parametrize("place", ["gs://bucket", "s3://bucket"])
def test_an_object_store_that_is_wrong_or_away_costs_nothing(database, written, monkeypatch, place):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("YOLO_STORE", place)
    assert written()[0]["state"] == "SUCCEEDED"


def test_the_record_is_there_before_mlflow_is_asked(database, written, monkeypatch, tmp_path):
    def hangs(pipeline, succeeded):
        assert json.loads((tmp_path / "record").read_text())["state"] == "FAILED"
        assert "MLflow was not asked yet" in (tmp_path / "report").read_text()
        raise KeyboardInterrupt

    monkeypatch.setattr("yolocore.component.conclusion.close", hangs)
    with pytest.raises(SystemExit) as ended:
        written("FAILED")
    assert ended.value.code == 130


def test_a_disk_that_refuses_is_one_line(database, capsys):
    nowhere = SimpleNamespace(path="/sys/record", metadata={})
    with pytest.raises(SystemExit) as ended:
        conclude(state="SUCCEEDED", error="", commit="", record=nowhere, report=nowhere)
    assert ended.value.code == 6
    said = capsys.readouterr().err
    assert said.startswith("conclude: error: ") and said.count("\n") == 1
