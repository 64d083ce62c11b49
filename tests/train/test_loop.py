"""A training ended at any moment and started again ends in the same bits as one left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yolocore.records import TrainRecord

# Events: in each of 2 epochs its 3 updates, then the batch of its validation, then its end.
SCENARIOS = {
    "left alone": [None],
    "killed twice": [["SIGKILL", 3], ["SIGKILL", 8], None],
    "killed by the clock": [["SIGKILL", 0.7], None],
    "asked to end within an epoch": [["SIGTERM", 3], None],
}


@pytest.fixture(scope="module")
def outcomes(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[int]], Path]:
    """Exit statuses of all scenarios' attempts, and the folder of their results."""
    folder = tmp_path_factory.mktemp("interrupted")
    script = Path(__file__).with_name("interrupted.py")
    done = subprocess.run(
        [sys.executable, script, shapes, folder, json.dumps(SCENARIOS)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), folder


def test_attempts_end_as_they_are_told(outcomes) -> None:
    statuses, _ = outcomes
    for name, attempts in SCENARIOS.items():
        expected = [0 if a is None else {"SIGKILL": -9, "SIGTERM": 75}[a[0]] for a in attempts]
        if name == "killed by the clock":  # a fast machine may be done before
            expected = [status if status == 0 else want for status, want in zip(statuses[name], expected, strict=True)]
        assert statuses[name] == expected, name


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "left alone"])
def test_the_same_bits(outcomes, name: str) -> None:
    _, folder = outcomes
    alone, other = TrainRecord.load(folder / "left alone"), TrainRecord.load(folder / name)
    assert other.canonical() == alone.canonical()
    for file in ("best.pt", "last.pt", "train_batch0.jpg", "results.png"):
        assert (folder / name / file).read_bytes() == (folder / "left alone" / file).read_bytes(), file


def test_nothing_is_left_beside_the_result(outcomes) -> None:
    _, folder = outcomes
    assert not [path for path in folder.iterdir() if path.name.endswith((".partial", ".old"))]
    assert not (folder / "left alone" / "state.pt").exists()
