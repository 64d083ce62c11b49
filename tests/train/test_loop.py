"""A training ended at any moment and started again ends in the same bits as one left alone."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from yolocore.data import open_dataset
from yolocore.records import TrainRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # thirty short trainings

# Each run has moments of its own; a failing one says its seed.
SEED = int(os.environ.get("INTERRUPTED_SEED") or random.randrange(2**32))
ALONE, BY_UPDATES, BY_EPOCHS = "left alone", "saved by updates", "saved by epochs"
MODELS = {
    "detect": "yolo11n",
    "segment": "yolo11n-seg",
    "pose": "yolo11n-pose",
    "obb": "yolo11n-obb",
    "classify": "yolo11n-cls",
}
UPDATES = 6  # of an epoch: 21 pictures in batches of 4
AT_ONCE, NEVER = 0.0, 3600.0  # seconds after which a state is saved within an epoch

End = tuple[str, str, int]
Attempt = tuple[int, list[str]]


def ends(draw: random.Random) -> list[End | None]:
    """Twice in each of 3 epochs, so that every attempt has a state to leave: between or in the updates and the saving
    of states, in an order that nobody thought of, and within the validation."""
    validations = ["SIGKILL", "SIGTERM", draw.choice(("SIGKILL", "SIGTERM"))]
    draw.shuffle(validations)
    inner = [("SIGKILL", "update"), ("SIGKILL", "save"), ("SIGTERM", "update")]
    draw.shuffle(inner)
    chosen: list[End | None] = []
    for epoch, (name, kind) in enumerate(inner):
        least = 2 if epoch == 0 and name == "SIGKILL" else 1  # killed before, there would be no state
        chosen += [(name, kind, draw.randint(least, UPDATES)), (validations[epoch], "validation", 1)]
    return [*chosen, None]


def scenarios(task: str) -> dict[str, tuple[float, list[End | None]]]:
    """All of them for one task; for each other a kill and a wish to end, whose moments are in its first two epochs."""
    draw = random.Random(f"{SEED} {task}")
    if task != "detect":
        wish = ("SIGTERM", draw.choice(("update", "validation")), 1)
        killed = ("SIGKILL", draw.choice(("update", "save")), draw.randint(2, UPDATES))
        return {ALONE: (NEVER, [None]), BY_UPDATES: (AT_ONCE, [killed, wish, None])}
    second = ("SIGKILL", "update", draw.randint(UPDATES + 1, 2 * UPDATES))
    return {
        ALONE: (NEVER, [None]),
        BY_UPDATES: (AT_ONCE, ends(draw)),
        BY_EPOCHS: (NEVER, [second, ("SIGKILL", "save", 1), None]),
    }


@dataclass(frozen=True)
class Outcome:
    """What became of a task's scenarios: in `folder` the results, by their names the ends asked and attempts made."""

    folder: Path
    asked: dict[str, list[End | None]]
    attempts: dict[str, list[Attempt]]


@pytest.fixture(scope="module", params=MODELS)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    task = request.param
    folder = tmp_path_factory.mktemp("interrupted")
    data = request.getfixturevalue("class_folders" if task == "classify" else "shapes")
    assert math.ceil(len(open_dataset(data).split("train")) / 4) == UPDATES
    asked = scenarios(task)
    print(f"INTERRUPTED_SEED={SEED}")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("interrupted.py"), data, MODELS[task], folder, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    attempts = json.loads(done.stdout.splitlines()[-1])
    return Outcome(folder, {name: ended for name, (_, ended) in asked.items()}, attempts)


def test_attempts_end_where_they_are_told(outcome: Outcome) -> None:
    for name, asked in outcome.asked.items():
        for end, (status, log) in zip(asked, outcome.attempts[name], strict=True):
            assert status == {None: 0, "SIGKILL": -9, "SIGTERM": 75}[end and end[0]], (name, end, log)
            if end:
                assert f"{end[0]} in {end[1]}" in log, (name, end, log)


def test_each_attempt_goes_on_from_the_last_state_that_was_saved_whole(outcome: Outcome) -> None:
    """And there is one: an attempt that began anew would prove nothing."""
    positions = set()
    for name, attempts in outcome.attempts.items():
        saved = []
        for number, (_, log) in enumerate(attempts):
            found = [line.removeprefix("goes on after ") for line in log if line.startswith("goes on after ")]
            assert found == (saved[-1:] if number else []) and len(found) == bool(number), (name, number, log)
            saved += [line.removeprefix("saved ") for line in log if line.startswith("saved ")]
            positions |= {(name, *map(int, re.findall(r"\d+", line))) for line in found}
    assert any(batch > 0 for name, _, batch in positions if name == BY_UPDATES), "within an epoch"
    assert all(batch == 0 for name, _, batch in positions if name == BY_EPOCHS)


def figures(folder: Path) -> list[dict[str, str]]:
    """results.csv, every column but the time that it took."""
    rows = list(csv.DictReader((folder / "results.csv").open()))
    for row in rows:
        del row["time"]
    return rows


def test_the_same_bits(outcome: Outcome) -> None:
    alone, *ended = (outcome.folder / name for name in outcome.asked)
    for folder in ended:
        assert TrainRecord.load(folder).canonical() == TrainRecord.load(alone).canonical()
        assert figures(folder) == figures(alone)
        for file in ("best.pt", "last.pt", "train_batch0.jpg", "results.png"):
            assert (folder / file).read_bytes() == (alone / file).read_bytes(), file


def test_nothing_is_left_beside_or_in_the_result(outcome: Outcome) -> None:
    assert not [path for path in outcome.folder.iterdir() if path.name.endswith((".partial", ".old"))]
    alone, *ended = (sorted(path.name for path in (outcome.folder / name).iterdir()) for name in outcome.asked)
    assert not {"state.pt", "identity.json"} & set(alone)
    assert all(found == alone for found in ended)
