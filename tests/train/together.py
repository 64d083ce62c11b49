"""Train as one of several processes: `torchrun --nproc-per-node=2 together.py DATA OUT MODEL SETTINGS PAUSE`.

At the PAUSE-th thing that the first process hears of (progress, or the end of an epoch) it says so and waits for a
line on its input; 0: never.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from yolocore.config import TrainConfig
from yolocore.errors import YoloError
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train
from yolocore.progress import Silent

PAUSED = "paused"


class Pause(Silent):
    """Holds the process at the n-th event."""

    def __init__(self, number: int) -> None:
        self._left = number

    def advance(self, n: int = 1, **figures: float) -> None:
        self._heard()

    def epoch(self, number: int, row: object) -> None:
        self._heard()

    def _heard(self) -> None:
        self._left -= 1
        if self._left == 0:
            print(PAUSED, flush=True)
            sys.stdin.readline()


if __name__ == "__main__":
    data, out, model, settings, pause = sys.argv[1:]
    try:
        inputs = TrainInputs(data=data, model=model)
        record = train(TrainConfig(**json.loads(settings)), inputs, Path(out), Pause(int(pause)))
    except YoloError as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(error.exit_code)
    print(record.digest(), flush=True)
