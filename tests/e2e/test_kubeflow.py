"""The whole pipeline by Kubeflow's subprocess runner: the same definition that a cluster runs."""

import contextlib
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from pipelines.request import read_pipeline
from tests.conftest import free_endpoint
from tests.e2e.test_dvc import CHAIN, TINY
from tests.gitops.server import FILE, TOKEN, serve
from yolocore.records import Record, load_record


@pytest.mark.slow
def test_the_pipeline_runs_and_shows_figures_and_pictures(project, triton_home):
    from mlflow import MlflowClient

    keys = {f"{section}_{name}": value for section, settings in TINY.items() for name, value in settings.items()}
    words = [f"{key}={value}" for key, value in {**keys, "deploy_port": free_endpoint().port}.items()]
    said = project.call(sys.executable, "-m", "pipelines.run_local", *words)

    (page,) = (project.folder / "runs/kubeflow").glob("*/report.html")
    (run,) = (path for path in page.parent.iterdir() if path.is_dir())
    assert str(page.relative_to(project.folder)) in said
    for mode in CHAIN:
        (folder,) = (path.parent for path in (run / mode).rglob("record.json"))
        record = load_record(folder)
        assert record.step == mode
        outputs = json.loads((run / mode / "executor_output.json").read_text())["artifacts"]
        shown = outputs["metrics"]["artifacts"][0]["metadata"]
        assert shown.items() <= record.metrics.items()
        assert f"<h2>{mode}</h2>" in (run / mode / "report").read_text()

    (counted,) = json.loads((run / "val/executor_output.json").read_text())["artifacts"]["confusion"]["artifacts"]
    matrix = counted["metadata"]["confusionMatrix"]
    assert [each["displayName"] for each in matrix["annotationSpecs"]][-1] == "nothing"
    assert len(matrix["rows"]) == len(matrix["annotationSpecs"])
    confidences = [point["confidenceThreshold"] for point in counted["metadata"]["confidenceMetrics"]]
    assert confidences == sorted(confidences, reverse=True)
    assert 0 < len(confidences) <= 33

    concluded = json.loads((run / "conclude/record").read_text())
    assert concluded["state"] == "SUCCEEDED"
    assert sorted(step["mode"] for step in concluded["steps"]) == sorted(CHAIN)
    assert "| deploy | FINISHED | map50_95" in (run / "conclude/report").read_text()

    client = MlflowClient(tracking_uri=f"sqlite:///{project.folder / 'mlflow.db'}")
    (experiment,) = (e.experiment_id for e in client.search_experiments() if e.name == "yolocore")
    runs = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    (parent,) = (run for run in runs if run.data.tags["yolo.mode"] == "pipeline")
    nested = [
        run.data.tags["yolo.mode"] for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    assert sorted(nested) == sorted(CHAIN)
    assert parent.info.status == "FINISHED"

    # What it made, measured and used by the other pipelines.
    made = {mode: next((run / mode).rglob("record.json")).parent for mode in CHAIN}
    ingested = [f"ingest_{name}={value}" for name, value in TINY["ingest"].items()]
    again = pipeline(project, "evaluation", f"evaluation_model={made['train']}", *ingested)["val"]
    assert again.canonical() == load_record(made["val"]).canonical()

    (project.folder / "pictures").mkdir()
    cv2.imwrite(str(project.folder / "pictures" / "grey.png"), np.full((48, 64, 3), 128, np.uint8))
    images = f"prediction_images={project.folder / 'pictures'}"
    found = pipeline(project, "batch_prediction", f"prediction_model={made['export']}", images)["predict"]
    assert found.frames == 1


@pytest.mark.slow
def test_retraining_ends_early_when_there_is_nothing_new(project, triton_home, monkeypatch):
    """Three times: the first deploys; the second finds the same training in the object store, and stops; a setting
    that has changed goes all the way, to the commit that tells production."""
    monkeypatch.setenv("YOLO_STORE", str(project.folder / "store"))
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    keys = [f"{section}_{name}={value}" for section, settings in TINY.items() for name, value in settings.items()]
    keys += [f"deploy_port={free_endpoint().port}", "gate_min_map_gain=-1"]
    with contextlib.contextmanager(serve)(project.folder / "git") as git:
        keys += [f"promotion_url={git.url}", f"promotion_file={FILE}", "retraining_commit=abc"]
        first = pipeline(project, "retraining", *keys)
        assert set(first) == set(CHAIN)
        assert first["deploy"].served_digest in git.show(FILE)

        before = git.head()
        second = pipeline(project, "retraining", *keys, root="again")
        assert set(second) == {"ingest", "train"}
        assert second["train"] == first["train"], "with the very times of the first: it was not trained again"
        assert git.head() == before
        (concluded,) = (project.folder / "again").rglob("conclude/record")
        assert json.loads(concluded.read_text())["state"] == "SUCCEEDED"
        assert json.loads(concluded.read_text())["commit"] == "abc"

        third = pipeline(project, "retraining", *keys, "train_seed=1", root="changed")
        assert set(third) == set(CHAIN)
        assert third["deploy"].served_digest in git.show(FILE)


@pytest.mark.slow
def test_a_search_ends_with_the_figures_of_what_its_best_training_made(project):
    settings = {"ingest": TINY["ingest"], "tune": {**TINY["train"], "trials": 2, "search": "lr0"}}
    keys = [f"{section}_{name}={value}" for section, values in settings.items() for name, value in values.items()]
    records = pipeline(project, "search", *keys)
    assert records["tune"].trials == 2
    assert records["tune"].best["lr0"] > 0
    assert records["val"].inputs["model"] == records["tune"].artifacts["best"].digest


@pytest.mark.slow
def test_a_run_that_fails_has_its_record_too(project):
    words = ["pipeline=evaluation", "evaluation_source=demo", "evaluation_model=none", "ingest_demo_images=32"]
    said = project.call(sys.executable, "-m", "pipelines.run_local", *words, code=1)
    assert "model=none" in said
    (record,) = project.folder.glob("runs/kubeflow/*/*/conclude/record")
    concluded = json.loads(record.read_text())
    assert concluded["state"] == "FAILED"
    assert [step["mode"] for step in concluded["steps"]] == ["ingest"]


@pytest.mark.slow
def test_the_pipeline_runs_in_its_images(project, triton_home):
    """The images must be those of this version: `make images`."""
    request = read_pipeline("training")
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "image", "inspect", *request.images()], capture_output=True).returncode:
        pytest.skip("needs a running docker and the images: make images")
    keys = [f"{section}_{name}={value}" for section, settings in TINY.items() for name, value in settings.items()]
    records = pipeline(project, "training", "runner=docker", f"deploy_port={free_endpoint().port}", *keys)
    assert set(records) == set(CHAIN)


def pipeline(project, name: str, *words: str, root: str = "") -> dict[str, Record]:
    """Run a pipeline; its records by mode. root: folder of its own for a pipeline that runs several times."""
    root = root or f"runs/{name}"
    project.call(sys.executable, "-m", "pipelines.run_local", f"pipeline={name}", f"root={root}", *words)
    records = [load_record(path.parent) for path in (project.folder / root).rglob("record.json")]
    return {record.step: record for record in records}
