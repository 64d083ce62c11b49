"""Run trainings that are ended at chosen moments, in forks of one process that has everything imported.

    python interrupted.py DATA FOLDER '{"name": [["SIGKILL", 7], ["SIGTERM", 3], null], …}'

Each attempt of a scenario is a fork that sends itself the signal at the n-th event it hears of (a step or
an epoch), or after the given seconds where n is a fraction; null lets it finish. Prints each scenario's
exit statuses (negative: signal).
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


class Ending:
    """Sends this process a signal at its n-th event."""

    def __init__(self, number: int, name: str) -> None:
        self._left, self._name = number, name

    def _event(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.Signals[self._name])

    def start(self, label: str, total: int | None) -> None: ...
    def note(self, text: str) -> None: ...

    def advance(self, n: int = 1, **figures: float) -> None:
        self._event()

    def epoch(self, number: int, row: dict[str, float]) -> None:
        self._event()


def attempt(data: str, out: Path, ending: tuple[str, float] | None) -> int:
    """Train in a fork; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        torch.set_num_threads(1)
        name, moment = ending or ("SIGKILL", 0)
        if isinstance(moment, float):
            threading.Timer(moment, os.kill, (os.getpid(), signal.Signals[name])).start()
        train(CONFIG, TrainInputs(data=data, model="yolo11n"), out, Ending(int(moment), name))
        code = 0
    except YoloError as error:
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    data, folder, scenarios = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    print(json.dumps({n: [attempt(data, folder / n, ending) for ending in each] for n, each in scenarios.items()}))
