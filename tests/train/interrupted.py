"""Run trainings that are ended at chosen moments, in forks of one process that has everything imported.

    python interrupted.py DATA MODEL FOLDER '{"name": [300.0, [["SIGKILL", "update", 3], null]], …}'

A scenario says after how many seconds a state is saved within an epoch, and how each of its attempts ends: a fork
sends itself the signal at the n-th thing of a kind that it comes to, an update's end, a part of a validation, or the
moment at which a state is written and not yet in its place; null lets it finish. Prints, of each attempt, its exit
status (negative: signal) and a log: what the training notes, which states it saves, and where the signal comes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import matplotlib.figure  # noqa: F401  else each fork loads it, and what comes with the line below
import torch

from yolocore.config import TrainConfig
from yolocore.errors import YoloError
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train
from yolocore.progress import Silent
from yolocore.train import kernels, loop  # noqa: F401  kernels: as matplotlib
from yolocore.train.state import TrainState

torch.use_deterministic_algorithms(False)
CONFIG = TrainConfig(epochs=3, batch=4, imgsz=32, nbs=4, close_mosaic=1, workers=1, device="cpu")

End = tuple[str, str, int]


class Probe(Silent):
    """Hears of a training's progress, keeps a log, and sends this process the signal when it is time."""

    def __init__(self, log: Path, end: End | None) -> None:
        self._log, self._validates, self._saves = log, False, False
        self._signal, self._kind, self._left = end or ("", "", 0)
        os.fsync = self._fsync  # write_atomic calls it before it renames
        self._save, TrainState.save = TrainState.save, lambda state, path: self._watch(state, path)

    def start(self, label: str, total: int | None) -> None:
        self._validates = label == "detect"

    def advance(self, n: int = 1, **figures: float) -> None:
        if self._validates:
            self._comes_to("validation")
        elif figures:
            self._comes_to("update")

    def note(self, text: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{text}\n")

    def _watch(self, state: TrainState, path: Path) -> None:
        self._saves = True
        self._save(state, path)
        self._saves = False
        self.note(f"saved epoch {state.epoch}, batch {state.batch}")

    def _fsync(self, _: int) -> None:
        if self._saves:
            self._comes_to("save")

    def _comes_to(self, kind: str) -> None:
        self._left -= kind == self._kind
        if kind == self._kind and self._left == 0:
            self.note(f"{self._signal} in {kind}")
            os.kill(os.getpid(), signal.Signals[self._signal])


def attempt(inputs: TrainInputs, out: Path, seconds: float, end: End | None) -> tuple[int, list[str]]:
    """Train in a fork; its exit status and log."""
    log = out.with_suffix(".log")
    log.write_text("")
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), log.read_text().splitlines()
    code = 70
    try:
        loop.SAVE_SECONDS = seconds
        train(CONFIG, inputs, out, Probe(log, end))
        code = 0
    except YoloError as error:
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    data, model, folder, scenarios = sys.argv[1:]
    given = TrainInputs(data=data, model=model)
    asked = {Path(folder) / name: scenario for name, scenario in json.loads(scenarios).items()}
    ended = {out.name: [attempt(given, out, s, end) for end in ends] for out, (s, ends) in asked.items()}
    print(json.dumps(ended))
