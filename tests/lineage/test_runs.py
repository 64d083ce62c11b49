"""Steps as MLflow runs, looked at through MLflow's own client and a real SQLite database."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from yolocore.config import PredictConfig, Tree, ValConfig
from yolocore.errors import DataError, PreemptedError, ServiceError
from yolocore.lineage import client as client_module
from yolocore.lineage.runs import git_revision, pipeline_of, track
from yolocore.modes.step import Step
from yolocore.progress import SILENT
from yolocore.records import ValRecord

CONFIG = ValConfig(conf=0.25)


@pytest.fixture
def step(tmp_path):
    """Record and folder of a finished val step with a picture in a subfolder."""
    folder = tmp_path / "val"
    with Step(ValRecord, CONFIG, {"model": "sha256:m", "data": "sha256:d"}, folder) as step:
        (step.work / "plots").mkdir()
        (step.work / "plots/curve.png").write_bytes(b"png")
        (step.work / "predictions.json").write_text("[]")
        record = step.publish(
            metrics={"map50_95": 0.5, "map50": float("nan")},
            artifacts={"predictions": "predictions.json"},
            views=["plots/curve.png"],
            per_class={},
        )
    return record, folder


@pytest.fixture
def runs(database):
    """All runs of the experiment, oldest first."""
    from mlflow import MlflowClient

    def search():
        client = MlflowClient(tracking_uri=f"sqlite:///{database}")
        experiments = [e.experiment_id for e in client.search_experiments()]
        return client.search_runs(experiments, order_by=["attributes.start_time ASC"])

    return search


def artifacts(run):
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_run_shows_the_record(runs, step):
    record, folder = step
    with track("val", CONFIG, request="r") as tracked:
        tracked.finish(record, folder)
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.data.params["conf"] == "0.25"
    assert "device" not in run.data.params  # how it ran decides nothing
    assert run.data.metrics["map50_95"] == 0.5
    assert run.data.metrics["timing/seconds"] == record.timings["seconds"]
    assert "map50" not in run.data.metrics  # a figure that does not exist is not drawn as one
    assert run.data.tags["yolo.key"] == record.key
    assert run.data.tags["input.data"] == "sha256:d"
    assert run.data.tags["artifact.predictions"] == record.artifacts["predictions"].digest
    assert "mlflow.parentRunId" not in run.data.tags
    assert artifacts(run) == {"record.json", "plots/curve.png"}


def test_steps_of_a_pipeline_nest_under_one_parent(runs, step):
    record, folder = step
    for mode in ("val", "predict"):
        with track(mode, CONFIG, pipeline="p1", request=mode) as tracked:
            tracked.finish(record.model_copy(update={"key": mode}), folder)
    parent, *nested = runs()
    assert parent.data.tags["yolo.mode"] == "pipeline"
    assert parent.info.status == "FINISHED"
    assert [run.data.tags["mlflow.parentRunId"] for run in nested] == [parent.info.run_id] * 2
    assert [run.info.run_name for run in nested] == ["val", "predict"]


@pytest.mark.parametrize(
    ("pipelines", "count"),
    [
        pytest.param(["", ""], 1, id="the same command again"),
        pytest.param(["p", "p"], 2, id="the same pipeline again: parent and step"),
        pytest.param(["p", "q"], 4, id="another pipeline shows the step too"),
    ],
)
def test_a_finished_step_is_logged_once(runs, step, pipelines, count):
    for pipeline in pipelines:
        with track("val", CONFIG, pipeline=pipeline, request=f"r{pipeline}") as tracked:
            tracked.finish(*step)
    assert len(runs()) == count


def test_an_interrupted_step_goes_on_in_its_run(runs, step):
    from mlflow import MlflowClient

    with pytest.raises(PreemptedError), track("train", CONFIG, pipeline="p", request="r") as tracked:
        tracked.epoch(1, {"loss": 3.0})
        tracked.epoch(2, {"loss": 2.0})
        raise PreemptedError("SIGTERM")
    assert [run.info.status for run in runs()] == ["KILLED", "KILLED"]
    with track("train", CONFIG, pipeline="p", request="r") as tracked:
        tracked.epoch(2, {"loss": 2.0})
        tracked.epoch(3, {"loss": 1.0})
        tracked.finish(*step)
    parent, run = runs()
    assert {parent.info.status, run.info.status} == {"FINISHED"}
    history = MlflowClient(tracking_uri=client_module.tracking_uri()).get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_a_run_that_was_killed_outright_is_found_again(runs, step):
    with track("train", CONFIG, request="r") as tracked:
        tracked.epoch(1, {"loss": 3.0})
    (run,) = runs()
    assert run.info.status == "RUNNING"  # SIGKILL leaves no time to say anything
    with track("train", CONFIG, request="r") as tracked:
        tracked.finish(*step)
    assert [run.info.status for run in runs()] == ["FINISHED"]


def test_a_failure_is_marked_with_its_message(runs):
    with pytest.raises(DataError), track("train", CONFIG, request="r") as tracked:
        tracked.epoch(1, {"loss": 3.0})
        raise DataError("broken.jpg: is truncated")
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert run.data.tags["yolo.error"] == "broken.jpg: is truncated"


def test_a_failure_before_any_result_leaves_no_run(runs):
    with pytest.raises(DataError), track("train", CONFIG, request="r"):
        raise DataError("no such folder")
    assert runs() == []


def test_using_a_model_is_no_experiment_unless_a_pipeline_does_it(runs, step):
    with track("predict", PredictConfig(), request="r") as tracked:
        tracked.finish(*step)
    assert runs() == []


def test_a_run_made_by_the_orchestrator_is_used_and_left_open(runs, step, database, monkeypatch):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    given = client.create_run(client.create_experiment("theirs")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with track("val", CONFIG, pipeline="p", request="r") as tracked:
        tracked.finish(*step)
    (run,) = runs()
    assert run.info.run_id == given
    assert run.info.status == "RUNNING"
    assert run.data.metrics["map50_95"] == 0.5


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        pytest.param("http://127.0.0.1:9", "Connection refused", id="nobody listens"),
        pytest.param("http://host.invalid:5000", "not known|resolution", id="no such host"),
        pytest.param("sqlite:////proc/none/mlflow.db", "unable to open|No such file", id="no place for a database"),
        pytest.param("postgresql+psycopg2://u:secret@127.0.0.1:9/db", "cannot be used", id="database server away"),
        pytest.param("carrier-pigeon://x", "unsupported URI", id="unknown kind of store"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_before_the_work(database, monkeypatch, uri, reason):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    worked = False
    with pytest.raises(ServiceError, match=reason) as caught, track("val", CONFIG, request="r"):
        worked = True
    assert not worked
    assert uri.partition("://")[0] in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tracker_that_dies_does_not_stop_the_work(database, runs, step):
    notes = []

    class Notes:
        def __getattr__(self, name):
            return notes.append if name == "note" else getattr(SILENT, name)

    whole = Path(database).read_bytes()
    with track("train", CONFIG, request="r", listener=Notes()) as tracked:
        tracked.epoch(1, {"loss": 3.0})
        Path(database).write_bytes(b"no database at all" * 1000)
        tracked.epoch(2, {"loss": 2.0})
        tracked.epoch(3, {"loss": 1.0})
        tracked.finish(*step)
    assert len(notes) == 1
    assert "going on without it" in notes[0]
    # the same command, run again when the tracker is back, logs the step from its record
    Path(database).write_bytes(whole)
    with track("train", CONFIG, request="r") as tracked:
        tracked.finish(*step)
    assert [run.info.status for run in runs()] == ["FINISHED"]


def test_an_environment_without_mlflow_says_so_and_works(tmp_path):
    """The slim containers: a fresh interpreter in which mlflow cannot be imported."""
    script = "import sys; sys.modules['mlflow'] = None; from yolocore.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "ingest", "source=demo", "demo_images=24", "demo_imgsz=64"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mlflow is not installed: this step is not tracked" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()
    assert json.loads((tmp_path / "runs/ingest/record.json").read_text())["step"] == "ingest"


def test_a_pipeline_is_its_settings_at_a_git_revision(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert git_revision() == ""
    tree = Tree()
    assert pipeline_of(tree) == pipeline_of(Tree())
    assert pipeline_of(tree) != pipeline_of(tree.model_copy(update={"val": CONFIG}))
    subprocess.run(["git", "init", "-q"], check=True)
    before = pipeline_of(tree)
    author = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *author, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    assert len(git_revision()) == 40
    assert pipeline_of(tree) != before
