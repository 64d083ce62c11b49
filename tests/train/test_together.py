"""Two processes that train together make the same model as one, and end together."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.data.dataset import open_dataset
from yolocore.errors import PreemptedError, ServiceError
from yolocore.progress import SILENT
from yolocore.records import TrainRecord
from yolocore.train.loop import STATE
from yolocore.train.start import choose_origin, start_from
from yolocore.train.state import read_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

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
        [*launcher, str(script), str(data), str(out), "yolo11n-seg", words, "0"],
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
        figures = {n: (float(mine[n]), float(theirs[n])) for n in mine if n.startswith(("train/", "val/", "lr/"))}
        assert len(figures) == 4 + 4 + 3
        assert all(b == pytest.approx(a, rel=2e-3) for a, b in figures.values()), figures
    config = TrainConfig(**SETTINGS)
    begun = start_from(choose_origin("yolo11n-seg", config), open_dataset(shapes), config, SILENT)[0].state_dict()
    states = [torch.load(tmp_path / n / "last.pt", weights_only=True)["state"] for n in ("alone", "together")]
    keys = [key for key, value in begun.items() if value.is_floating_point()]
    learnt = 0
    for key in keys:
        mine, theirs = (state[key].double() - begun[key].double() for state in states)
        assert (theirs - mine).norm() <= 0.01 * mine.norm() + 1e-9, key
        learnt += bool(mine.any())
    assert learnt > 0.95 * len(keys), "but where no object was"


def test_too_many_processes_for_a_batch(shapes: Path, tmp_path: Path) -> None:
    done = run(TOGETHER, shapes, tmp_path / "out", batch=1)
    assert "images make batches of 1, less than the 2 processes" in done.stdout + done.stderr


# Who is asked to end, when the first hears for which time of its training, and how far it is saved: after which of
# (epoch, batch). An epoch tells of its beginning, of two updates (2 batches and 1), of its validation and its end.
MOMENTS: dict[str, tuple[list[int], int, set[tuple[int, int]]]] = {
    "all, within an epoch": ([0, 1], 1, {(0, 2)}),
    # It may be ahead, and wait with its part of the update already: its wish goes with the next one.
    "the second alone, within an epoch": ([1], 1, {(0, 2), (0, 3)}),
    "the first alone, while it validates": ([0], 4, {(0, 3)}),
    "all, within the second epoch": ([0, 1], 6, {(1, 2)}),
}


def members(
    data: Path, out: Path, asked: Sequence[int] = (), moment: int = 0, by: signal.Signals = signal.SIGTERM
) -> list[tuple[int, str]]:
    """Exit status and words of each of two processes, that torchrun would have started; some get a signal when the
    first hears of its training for the moment-th time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script, words = Path(__file__).with_name("together.py"), json.dumps(SETTINGS)
    place = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(data), str(out), "yolo11n", words, str(moment)],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    if asked:
        assert processes[0].stdout is not None
        assert processes[0].stdout.readline() == "paused\n"
        for rank in asked:
            processes[rank].send_signal(by)
    said = [process.communicate("\n")[0] for process in processes]
    return [(process.returncode, words) for process, words in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def left_alone(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("left_alone") / "out"
    assert [status for status, _ in members(shapes, out)] == [0, 0]
    return out


@pytest.mark.parametrize("name", MOMENTS)
def test_asked_to_end_and_started_again(name: str, left_alone: Path, shapes: Path, tmp_path: Path) -> None:
    asked, moment, positions = MOMENTS[name]
    out = tmp_path / "out"
    for status, words in members(shapes, out, asked, moment):
        assert status == PreemptedError.exit_code, words
        assert "PreemptedError SIGTERM: training is saved" in words
    (work,) = tmp_path.glob(".out.*.partial")
    saved = read_state(work / STATE)
    assert saved is not None and (saved["epoch"], saved["batch"]) in positions
    assert not out.exists()

    goes_on_to_the_same_end(shapes, out, left_alone)


def test_one_is_killed(left_alone: Path, shapes: Path, tmp_path: Path) -> None:
    """The other says so in a line of its own, and the epoch that was saved before is not lost."""
    (first, words), (second, _) = members(shapes, tmp_path / "out", [1], 6, signal.SIGKILL)
    assert (first, second) == (ServiceError.exit_code, -signal.SIGKILL)
    assert words.startswith("ServiceError another of the 2 processes of this training ended")
    (work,) = tmp_path.glob(".out.*.partial")
    saved = read_state(work / STATE)
    assert saved is not None and saved["epoch"] == 1
    goes_on_to_the_same_end(shapes, tmp_path / "out", left_alone)


def goes_on_to_the_same_end(data: Path, out: Path, left_alone: Path) -> None:
    assert [status for status, _ in members(data, out)] == [0, 0]
    assert TrainRecord.load(out).canonical() == TrainRecord.load(left_alone).canonical()
    for file in ("best.pt", "last.pt"):
        assert (out / file).read_bytes() == (left_alone / file).read_bytes(), file
    assert not list(out.parent.glob(".out.*.partial"))
