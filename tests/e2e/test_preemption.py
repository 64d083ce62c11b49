"""A training that is preempted on one machine and ends on another; between them is nothing but the object store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from yolocore.component.handover import STORED, Stored
from yolocore.errors import PreemptedError
from yolocore.records import load_record
from yolocore.store import ObjectStore

TASK = """
import sys
from kfp import dsl
from yolocore.component import perform
mode, folder, *words = sys.argv[1:]
keys = dict(word.split("=", 1) for word in words)
outputs = {"result": dsl.Model, "metrics": dsl.Metrics, "report": dsl.HTML}
perform(mode, **{name: kind(uri=f"{folder}/{name}") for name, kind in outputs.items()}, **keys)
"""
SETTINGS = ("model=yolo11n", "epochs=4", "imgsz=64", "batch=4", "nbs=8", "close_mosaic=1", "workers=1", "device=cpu")


class Machine:
    """A pod: a disk of its own, and of all that lies elsewhere the object store and MLflow."""

    def __init__(self, disk: Path, store: ObjectStore, database: Path) -> None:
        self.disk = disk
        (disk / "task").mkdir(parents=True)
        self.environment = {
            **os.environ,
            "YOLO_STORE": store.place,
            "YOLO_CACHE": str(disk / "cache"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
        }

    def start(self, mode: str, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", TASK, mode, "task", *words],
            cwd=self.disk,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, mode: str, *words: str) -> str:
        """Run a task to its end; returns what it said."""
        process = self.start(mode, *words)
        _, said = process.communicate()
        assert process.returncode == 0, said
        return said

    @property
    def result(self) -> Path:
        return self.disk / "task" / "result"


def best(result: Path, store: ObjectStore, folder: Path) -> bytes:
    """The best weights, as the next step would get them."""
    store.pull(Stored.model_validate_json((result / STORED).read_bytes()).digest, folder)
    return (folder / "best.pt").read_bytes()


@pytest.mark.slow
def test_a_preempted_training_ends_in_the_same_weights_on_another_machine(
    store: ObjectStore, database: Path, tmp_path: Path
) -> None:
    def machine(name: str) -> Machine:
        return Machine(tmp_path / name, store, database)

    ingest = machine("ingest")
    ingest.call("ingest", "source=demo", "demo_images=25", "demo_imgsz=64", "val_fraction=0.2")
    assert not (ingest.result / "shards").exists()
    train = ("train", f"data={ingest.result}", *SETTINGS)
    whole = machine("whole")
    whole.call(*train)
    # Else its result would be taken from the store.
    store.delete(f"finished/{load_record(whole.result).key.removeprefix('sha256:')}")

    preempted = machine("first")
    process = preempted.start(*train)
    assert process.stderr
    heard = []
    for line in process.stderr:
        heard.append(line)
        if line.startswith("epoch 2 "):
            process.send_signal(signal.SIGTERM)
    assert process.wait() == PreemptedError.exit_code, heard
    assert any(line.startswith(f"the work so far is kept: {store.place}") for line in heard), heard
    assert not any(line.startswith("epoch 4 ") for line in heard), heard
    shutil.rmtree(preempted.disk)

    again = machine("first")
    said = again.call(*train)
    assert f"goes on with what was interrupted, from {store.place}" in said
    assert "epoch 1 " not in said and "epoch 4 " in said
    assert load_record(again.result).canonical() == load_record(whole.result).canonical()
    weights = [best(each.result, store, tmp_path / f"best of {each.disk.name}") for each in (again, whole)]
    assert weights[0] == weights[1]
