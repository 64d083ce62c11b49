"""One step, four doors: the same inputs give the same record through each of them, apart from its times."""

import sys

import pytest

from yolocore import YOLO
from yolocore.config import IngestConfig, TrainConfig
from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.records import load_record

# Every key is stated, so that no door rests on a default and params.yaml decides nothing that the others don't know.
INGEST = IngestConfig(demo_images=24, demo_imgsz=64).model_dump()
TRAIN = TrainConfig(epochs=1, imgsz=64, batch=8, workers=0, device="cpu").model_dump()


def by_python(project, mode, keys):
    out = project.folder / "python"
    if mode == "train":
        return YOLO(keys["model"]).train(keys["data"], out=out, **TRAIN).record
    return run(read_request(mode, {**keys, "out": out}))


def by_command_line(project, mode, keys):
    out = project.folder / "command"
    project.call("yolo", mode, f"out={out}", *(f"{key}={value}" for key, value in keys.items()))
    return load_record(out)


def by_dvc(project, mode, keys):
    project.call("dvc", "repro", mode)
    return load_record(project.folder / "runs" / mode)


def by_kubeflow(project, mode, keys):
    """The component itself, by Kubeflow's local runner, in a process of its own: the runner keeps global state."""
    stated = {key: value for key, value in keys.items() if value is not None}  # a form's empty field is left out
    script = f"""
from kfp import dsl, local
from components.{mode}.component import {mode}
local.init(local.SubprocessRunner(use_venv=False), pipeline_root="kubeflow")
given = {stated!r}
if "data" in given:
    @dsl.pipeline
    def pipeline():
        dataset = dsl.importer(artifact_uri=given.pop("data"), artifact_class=dsl.Dataset).output
        {mode}(dataset=dataset, **given)
    pipeline()
else:
    {mode}(**given)
"""
    (project.folder / "door.py").write_text(script)
    project.call(sys.executable, "door.py")
    (record,) = (project.folder / "kubeflow").rglob("record.json")
    return load_record(record.parent)


DOORS = (by_python, by_command_line, by_dvc, by_kubeflow)


def test_ingest_is_the_same_through_every_door(project):
    project.set(ingest=INGEST)
    records = [door(project, "ingest", {"source": "demo", **INGEST}).canonical() for door in DOORS]
    assert records == records[:1] * len(DOORS)


@pytest.mark.slow
def test_training_is_the_same_through_every_door(project):
    project.set(ingest=INGEST, train=TRAIN)
    run(read_request("ingest", {"source": "demo", **INGEST, "out": "runs/ingest"}))
    keys = {"data": str(project.folder / "runs/ingest"), "model": "yolo11n", **TRAIN}
    records = [door(project, "train", keys).canonical() for door in DOORS]
    assert records == records[:1] * len(DOORS)
