"""A training ended at any moment and started again ends in the same bits as one left alone."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from yolocore.records import TrainRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # twenty short trainings

End = tuple[str, float, str]

# Ten or more events an epoch: where it begins, its updates, the batches of its validation, its end.
ENDS: dict[str, list[End | None]] = {
    "left alone": [None],
    "killed twice": [("SIGKILL", 3, "event"), ("SIGKILL", 7, "event"), None],
    "killed by the clock": [("SIGKILL", 0.7, "second"), None],
    "killed while it saves": [("SIGKILL", 1, "write"), ("SIGKILL", 4, "write"), ("SIGKILL", 5, "write"), None],
    "asked to end within an epoch": [("SIGTERM", 3, "event"), None],
    "asked to end while validating": [("SIGTERM", 5, "event"), ("SIGTERM", 2, "event"), None],
}


def anyhow(seed: int) -> list[End | None]:
    """Ended at moments that nobody thought of."""
    draw = random.Random(seed)
    return [(draw.choice(("SIGKILL", "SIGTERM")), draw.randint(1, 9), draw.choice(("event", "write"))), None]


MODELS = {"detect": "yolo11n", "segment": "yolo11n-seg"}
SCENARIOS = {
    **{f"detect {name}": ends for name, ends in ENDS.items()},
    "detect anyhow": anyhow(0),
    "segment left alone": [None],
    "segment anyhow": anyhow(1),
}


@pytest.fixture(scope="module")
def outcomes(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[int]], Path]:
    """Exit statuses of all scenarios' attempts, and the folder of their results."""
    folder = tmp_path_factory.mktemp("interrupted")
    asked = {name: {"model": MODELS[name.split()[0]], "ends": ends} for name, ends in SCENARIOS.items()}
    script = Path(__file__).with_name("interrupted.py")
    done = subprocess.run(
        [sys.executable, script, shapes, folder, json.dumps(asked)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), folder


def test_attempts_end_as_they_are_told(outcomes) -> None:
    statuses, _ = outcomes
    for name, ends in SCENARIOS.items():
        for end, status in zip(ends, statuses[name], strict=True):
            expected = {None: 0, "SIGKILL": -9, "SIGTERM": 75}[end and end[0]]
            # A fast machine, or the rest of a training, may be done before.
            may_be_done = end is not None and ("anyhow" in name or end[2] == "second")
            assert status == expected or (may_be_done and status == 0), name


def figures(folder: Path) -> list[list[str]]:
    """results.csv without the time that it took."""
    return [row[:1] + row[2:] for row in csv.reader((folder / "results.csv").open())]


@pytest.mark.parametrize("name", [name for name in SCENARIOS if "left alone" not in name])
def test_the_same_bits(outcomes, name: str) -> None:
    _, folder = outcomes
    whole = folder / f"{name.split()[0]} left alone"
    assert TrainRecord.load(folder / name).canonical() == TrainRecord.load(whole).canonical()
    assert figures(folder / name) == figures(whole)
    for file in ("best.pt", "last.pt", "train_batch0.jpg", "results.png"):
        assert (folder / name / file).read_bytes() == (whole / file).read_bytes(), file


def test_nothing_is_left_beside_or_in_the_result(outcomes) -> None:
    _, folder = outcomes
    assert not [path for path in folder.iterdir() if path.name.endswith((".partial", ".old"))]
    names = {name: sorted(path.name for path in (folder / name).iterdir()) for name in SCENARIOS}
    for name, found in names.items():
        assert found == names[f"{name.split()[0]} left alone"], name
        assert not {"state.pt", "identity.json"} & set(found)
