"""The whole pipeline by Kubeflow's subprocess runner: the same definition that a cluster runs."""

import contextlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.request import read_pipeline
from tests.conftest import free_endpoint
from tests.e2e.test_dvc import MODES, TINY
from tests.gitops.server import FILE, TOKEN, git, serve
from yolocore.records import Record, load_record


@pytest.mark.slow
def test_the_pipelines_from_a_first_training_to_the_commit_that_promotes(project, triton_home, monkeypatch):
    """Training deploys a first model; other pipelines use what it made; retraining finds the same training in the
    object store, tells production what training didn't, and stops; and leaves it alone when somebody takes that back;
    with a setting changed it goes all the way, to the commit that tells production."""
    monkeypatch.setenv("YOLO_STORE", str(project.folder / "store"))
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    keys = [f"{section}_{name}={value}" for section, settings in TINY.items() for name, value in settings.items()]
    keys += [f"deploy_port={free_endpoint().port}", "gate_min_map_gain=-1"]

    trained = pipeline(project, "training", *keys)
    check_run(project, trained)
    again = pipeline(
        project,
        "evaluation",
        f"evaluation_model={trained.folders('train')[0]}",
        *(f"ingest_{name}={value}" for name, value in TINY["ingest"].items()),
    )
    assert again["val"].canonical() == trained["val"].canonical()
    (project.folder / "pictures").mkdir()
    cv2.imwrite(str(project.folder / "pictures" / "grey.png"), np.full((48, 64, 3), 128, np.uint8))
    images = f"prediction_images={project.folder / 'pictures'}"
    found = pipeline(project, "batch_prediction", f"prediction_model={trained.folders('export')[0]}", images)
    assert found["predict"].frames == 1

    with contextlib.contextmanager(serve)(project.folder / "git") as server:
        keys += [f"promotion_url={server.url}", f"promotion_file={FILE}", "retraining_commit=abc"]
        second = pipeline(project, "retraining", *keys)
        assert set(second.records) == {"ingest", "train"}
        assert second["train"] == trained["train"], "with the very times of the first: it was not trained again"
        assert f"digest={trained['deploy'].served_digest}" in server.show(FILE)
        assert second.concluded()["state"] == "SUCCEEDED"
        assert second.concluded()["commit"] == "abc"

        developer = project.folder / "git" / "developer"
        git(developer, "pull", "-q", "origin", "main")
        git(developer, "revert", "--no-edit", server.head())
        git(developer, "push", "-q", "origin", "HEAD:main")
        reverted = server.head()
        pipeline(project, "retraining", *keys, root="reverted")
        assert server.head() == reverted

        third = pipeline(project, "retraining", *keys, "train_seed=1", root="changed")
        assert set(third.records) == set(MODES)
        assert third["deploy"].served_digest in server.show(FILE)


@pytest.mark.slow
def test_a_search_ends_with_the_figures_of_what_its_best_training_made(project):
    settings = {"ingest": TINY["ingest"], "tune": {**TINY["train"], "trials": 2, "search": "lr0"}}
    keys = [f"{section}_{name}={value}" for section, values in settings.items() for name, value in values.items()]
    records = pipeline(project, "search", *keys).records
    assert records["tune"].trials == 2
    assert records["tune"].best["lr0"] > 0
    assert records["val"].inputs["model"] == records["tune"].artifacts["best"].digest


@pytest.mark.slow
def test_a_run_that_fails_has_its_record_too(project):
    words = ["pipeline=evaluation", "evaluation_source=demo", "evaluation_model=none", "ingest_demo_images=32"]
    said = project.call(sys.executable, "-m", "pipelines.run_local", *words, code=1)
    assert "model=none" in said
    assert "Retrying" not in said
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
    made = pipeline(project, "training", "runner=docker", f"deploy_port={free_endpoint().port}", *keys)
    assert set(made.records) == set(MODES)


def check_run(project, run: "PipelineRun") -> None:
    """What a whole pipeline leaves behind: figures and pictures for Kubeflow's pages, its record, MLflow's runs."""
    assert (run.root.parent / "report.html").is_file()
    for mode in MODES:
        outputs = run.outputs(mode)
        shown = outputs["metrics"]["artifacts"][0]["metadata"]
        assert shown.items() <= run[mode].metrics.items()
        assert f"<h2>{mode}</h2>" in (run.root / mode / "report").read_text()
    assert {load_record(path).format for path in run.folders("export")} == {"onnx", "openvino"}
    assert [row.format for row in run["benchmark"].rows] == ["onnx", "openvino"]

    (counted,) = run.outputs("val")["confusion"]["artifacts"]
    matrix = counted["metadata"]["confusionMatrix"]
    assert [each["displayName"] for each in matrix["annotationSpecs"]][-1] == "nothing"
    assert len(matrix["rows"]) == len(matrix["annotationSpecs"])
    confidences = [point["confidenceThreshold"] for point in counted["metadata"]["confidenceMetrics"]]
    assert confidences == sorted(confidences, reverse=True)
    assert 0 < len(confidences) <= 33

    concluded = run.concluded()
    assert concluded["state"] == "SUCCEEDED"
    assert sorted(step["mode"] for step in concluded["steps"]) == sorted(MODES)
    assert "| deploy | FINISHED | map50_95" in (run.root / "conclude/report").read_text()

    client = MlflowClient(tracking_uri=f"sqlite:///{project.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("yolocore").experiment_id])
    (parent,) = (each for each in runs if each.data.tags["yolo.mode"] == "pipeline")
    nested = [each for each in runs if each.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(each.data.tags["yolo.mode"] for each in nested) == sorted(MODES)
    assert parent.info.status == "FINISHED"


@dataclass(frozen=True)
class PipelineRun:
    """One run of a pipeline: its folder, which has one for each of its tasks."""

    root: Path

    @property
    def records(self) -> dict[str, Record]:
        """By mode."""
        found = [load_record(path.parent) for path in self.root.rglob("record.json")]
        return {record.step: record for record in found}

    def __getitem__(self, mode: str) -> Record:
        return self.records[mode]

    def folders(self, mode: str) -> list[Path]:
        """The results of a mode's tasks, in the order in which the pipeline names them."""
        return [path.parent for task in sorted(self.root.glob(f"{mode}*")) for path in task.rglob("record.json")]

    def outputs(self, mode: str) -> dict[str, Any]:
        """What the mode's first task tells Kubeflow of its artifacts."""
        return json.loads((self.root / mode / "executor_output.json").read_text())["artifacts"]

    def concluded(self) -> dict[str, Any]:
        """The run's own record, which its exit step wrote."""
        return json.loads((self.root / "conclude/record").read_text())


def pipeline(project, name: str, *words: str, root: str = "") -> PipelineRun:
    """Run a pipeline. root: folder of its own for a pipeline that runs several times."""
    root = root or f"runs/{name}"
    said = project.call(sys.executable, "-m", "pipelines.run_local", f"pipeline={name}", f"root={root}", *words)
    (page,) = (project.folder / root).glob("*/report.html")
    assert str(page.relative_to(project.folder)) in said
    (run,) = (path for path in page.parent.iterdir() if path.is_dir())
    return PipelineRun(run)
