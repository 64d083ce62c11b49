"""Two processes that train together make the same model as one, and end together."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yolocore.records import TrainRecord

pytestmark = pytest.mark.slow

# Plain steps: Adam's would turn the noise of gradients that should be zero into steps of full length.
SETTINGS = {
    "epochs": 2,
    "batch": 8,
    "imgsz": 64,
    "nbs": 16,
    "close_mosaic": 1,
    "optimizer": "SGD",
    "lr0": 0.001,
    "warmup_epochs": 0.0,
    "amp": False,
    "device": "cpu",
}
ALONE = [sys.executable]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def run(launcher: list[str], data: Path, out: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    script, words = Path(__file__).with_name("together.py"), json.dumps({**SETTINGS, **settings})
    return subprocess.run(
        [*launcher, str(script), str(data), str(out), "yolo11n-seg", words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_as_one(shapes: Path, tmp_path: Path) -> None:
    for launcher, name in ((ALONE, "alone"), (TOGETHER, "together")):
        done = run(launcher, shapes, tmp_path / name)
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(set(done.stdout.split())) == 1  # both processes return the record
    assert TrainRecord.load(tmp_path / "together").epochs == 2

    one, two = (list(csv.DictReader((tmp_path / n / "results.csv").open())) for n in ("alone", "together"))
    for mine, theirs in zip(one, two, strict=True):
        figures = [(float(mine[name]), float(theirs[name])) for name in mine if name.startswith(("train/", "lr/"))]
        assert all(b == pytest.approx(a, rel=2e-3) for a, b in figures), (mine, theirs)
    states = [torch.load(tmp_path / n / "last.pt", weights_only=True)["state"] for n in ("alone", "together")]
    for key, value in states[0].items():
        if key.endswith(("conv.weight", ".2.weight", ".2.bias")):
            assert torch.allclose(states[1][key], value, atol=1e-3), key


def test_too_many_processes_for_a_batch(shapes: Path, tmp_path: Path) -> None:
    done = run(TOGETHER, shapes, tmp_path / "out", batch=1)
    assert "images make batches of 1, less than the 2 processes" in done.stdout + done.stderr
