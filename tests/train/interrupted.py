"""Run trainings that are ended at chosen moments, in forks of one process that has everything imported.

    python interrupted.py DATA FOLDER '{"name": {"model": "yolo11n", "ends": [["SIGKILL", 7, "event"], null]}, …}'

Each attempt of a scenario is a fork that sends itself the signal at the n-th event it hears of (progress, or the end
of an epoch), at the n-th write of a file, when all is written but nothing is in its place yet, or after n seconds;
null lets it finish. Prints each scenario's exit statuses (negative: signal).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

import matplotlib.figure  # noqa: F401  else each fork loads it, and what comes with the line below
import torch

from yolocore.config import TrainConfig
from yolocore.errors import YoloError
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train

torch.use_deterministic_algorithms(False)
CONFIG = TrainConfig(epochs=2, batch=4, imgsz=64, nbs=8, close_mosaic=1, workers=1, device="cpu")


class Countdown:
    """Sends this process a signal when called for the n-th time."""

    def __init__(self, name: str, number: int) -> None:
        self._name, self._left = name, number

    def __call__(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.Signals[self._name])


class Events:
    """Hears of a training's progress."""

    def __init__(self, heard: Countdown) -> None:
        self._heard = heard

    def start(self, label: str, total: int | None) -> None: ...
    def note(self, text: str) -> None: ...

    def advance(self, n: int = 1, **figures: float) -> None:
        self._heard()

    def epoch(self, number: int, row: dict[str, float]) -> None:
        self._heard()


def attempt(data: str, out: Path, model: str, end: tuple[str, float, str] | None) -> int:
    """Train in a fork; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        torch.set_num_threads(1)
        name, moment, what = end or ("SIGKILL", 0, "event")
        countdown = Countdown(name, int(moment))
        if what == "second":
            threading.Timer(moment, os.kill, (os.getpid(), signal.Signals[name])).start()
        if what == "write":
            os.fsync = countdown  # write_atomic calls it before it renames
        listener = Events(countdown if what == "event" else Countdown(name, 0))
        train(CONFIG, TrainInputs(data=data, model=model), out, listener)
        code = 0
    except YoloError as error:
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    data, folder, scenarios = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    print(json.dumps({n: [attempt(data, folder / n, s["model"], e) for e in s["ends"]] for n, s in scenarios.items()}))
