"""One step, four doors: the same inputs give the same record through each of them, apart from its times."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from yolocore import YOLO
from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.records import load_record

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PIPELINE_FILES = ("dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", "data/README.md", "yolocore/__init__.py")
INGEST = {"demo_images": 24, "demo_imgsz": 64}
TRAIN = {"epochs": 1, "imgsz": 64, "batch": 8, "workers": 0, "device": "cpu"}


@pytest.fixture
def project(tmp_path, database):
    """A checkout of the chain's description with tiny settings, under git as DVC wants it."""
    for name in PIPELINE_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["ingest"], params["train"] = INGEST, TRAIN
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def call(*command):
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def by_python(mode, folder, keys):
    if mode == "train":
        return YOLO(keys["model"]).train(out=folder, **{k: v for k, v in keys.items() if k != "model"}).record
    return run(read_request(mode, {**keys, "out": folder}))


def by_command_line(mode, folder, keys):
    call("yolo", mode, f"out={folder}", *(f"{key}={value}" for key, value in keys.items()))
    return load_record(folder)


def by_dvc(mode, folder, keys):
    call("dvc", "repro", mode)
    return load_record(Path("runs") / mode)


def by_kubeflow(mode, folder, keys):
    """The component itself, by Kubeflow's local runner, in a process of its own: the runner keeps global state."""
    script = f"""
from kfp import dsl, local
from components.{mode}.component import {mode}
local.init(local.SubprocessRunner(use_venv=False), pipeline_root={str(folder)!r})
given = {keys!r}
if "data" in given:
    @dsl.pipeline
    def pipeline():
        dataset = dsl.importer(artifact_uri=given.pop("data"), artifact_class=dsl.Dataset).output
        {mode}(dataset=dataset, **given)
    pipeline()
else:
    {mode}(**given)
"""
    Path("door.py").write_text(script)
    call(sys.executable, "door.py")
    (record,) = folder.rglob("record.json")
    return load_record(record.parent)


DOORS = [by_python, by_command_line, by_dvc, by_kubeflow]


def test_ingest_is_the_same_through_every_door(project):
    keys = {"source": "demo", **INGEST}
    records = {door.__name__: door("ingest", project / door.__name__, keys) for door in DOORS}
    assert len({record.canonical() for record in records.values()}) == 1, records


@pytest.mark.slow
def test_training_is_the_same_through_every_door(project):
    run(read_request("ingest", {"source": "demo", **INGEST, "out": "runs/ingest"}))
    keys = {"data": str(project / "runs/ingest"), "model": "yolo11n", **TRAIN}
    records = {door.__name__: door("train", project / door.__name__, keys) for door in DOORS}
    assert len({record.canonical() for record in records.values()}) == 1, records
