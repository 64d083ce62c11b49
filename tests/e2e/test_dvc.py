"""The whole chain by DVC on a laptop: it runs, does nothing the second time, and survives being killed."""

import os
import signal
import subprocess
import time

import pytest

from tests.conftest import free_endpoint
from yolocore.records import load_record

CHAIN = ("ingest", "train", "val", "export", "export-openvino", "benchmark", "gate", "deploy", "track")
MODES = [stage.partition("-")[0] for stage in CHAIN]
TINY = {
    "ingest": {"demo_images": 32, "demo_imgsz": 64},
    "train": {"epochs": 2, "imgsz": 64, "batch": 8, "workers": 0},
    "export": {"parity_images": 4},
    "benchmark": {"images": 4, "warmup": 1},
}


def ran(said: str) -> list[str]:
    """The stages that DVC ran, in order."""
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage '")]


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the command and everything that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.slow
def test_the_chain_runs_once_and_reruns_what_has_changed(project, triton_home):
    from mlflow import MlflowClient

    project.set(**TINY, deploy={"port": free_endpoint().port})
    assert sorted(ran(project.call("dvc", "repro"))) == sorted(CHAIN)
    records = {stage: load_record(project.folder / "runs" / stage) for stage in CHAIN}
    assert [record.step for record in records.values()] == MODES
    assert [row.format for row in records["benchmark"].rows] == ["torch", "onnx", "openvino"]

    client = MlflowClient(tracking_uri=f"sqlite:///{project.folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("yolocore").experiment_id])
    (parent,) = (run for run in runs if run.data.tags["yolo.mode"] == "pipeline")
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.data.tags["yolo.key"] for run in nested) == sorted(record.key for record in records.values())

    said = project.call("dvc", "repro")
    assert ran(said) == []
    assert "up to date" in said

    project.set(train={"epochs": 3, "imgsz": 96})
    assert ran(project.call("dvc", "repro", "val")) == ["train", "val"]
    assert load_record(project.folder / "runs/train").key != records["train"].key

    report = project.call("yolo", "report", "runs")
    for name in (*CHAIN, "mlflow.db", "serving", "report.html"):
        assert name in report


@pytest.mark.slow
def test_killed_while_it_trains_the_chain_goes_on(project):
    project.set(**TINY)
    project.set(train={"epochs": 6})
    process = project.start("dvc", "repro", "train")
    for line in process.stdout:
        if line.startswith("epoch 2 "):
            kill(process)
            break
    said = project.call("dvc", "repro", "train")
    assert ran(said) == ["train"]
    assert "epoch 1 " not in said
    assert "epoch 6 " in said
    assert load_record(project.folder / "runs/train").epochs == 6
    assert not list((project.folder / "runs").glob(".*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5, 4.0])
def test_killed_at_any_moment_and_started_again_it_completes(project, seconds):
    """DVC's locks and half-written results of a killed run are no obstacle to the next one."""
    project.set(ingest={"demo_images": 200})
    process = project.start("dvc", "repro", "ingest")
    time.sleep(seconds)
    kill(process)
    project.call("dvc", "repro", "ingest")
    assert load_record(project.folder / "runs/ingest").metrics["images"] == 200
    assert ran(project.call("dvc", "repro", "ingest")) == []


def test_an_experiment_sets_source_and_settings_from_the_command_line(project):
    """`dvc exp run -S` is how one runs the chain on one's own data once."""
    author = ("git", "-c", "user.name=x", "-c", "user.email=x@example.com")
    project.call("git", "add", "-A", ".")
    project.call(*author, "commit", "-q", "-m", "the chain")
    project.call("dvc", "exp", "run", "-S", "ingest.demo_images=40", "-S", "+ingest.seed=3", "ingest")
    record = load_record(project.folder / "runs/ingest")
    assert (record.metrics["images"], record.config["seed"]) == (40, 3)
    assert "demo_images: 40" in (project.folder / "params.yaml").read_text()


def test_a_stage_that_fails_says_why_in_one_line_and_leaves_nothing(project):
    project.set(pipeline={"source": "data/none"})
    process = project.start("dvc", "repro", "ingest")
    said, _ = process.communicate()
    assert process.returncode != 0
    assert "yolo ingest: error: source=data/none" in said
    assert not (project.folder / "runs/ingest").exists()
