"""The other side of the comparison: the `ultralytics` package, used from outside as its documentation says.

A script of its own, for a Python that has that package, which is no dependency of this project. It reads
requests from its input, a JSON object a line, {"do": NAME, …}, and answers each with a line of JSON. What
the package prints by itself goes to the error stream.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import ultralytics
from ultralytics import YOLO, settings

SILENCE = {"plots": False, "verbose": False}


class Watch:
    """Callbacks that give the package the threads asked for, and time the last epoch that it trains.

    seconds: of the epoch's training, and with its validation. waited: of that, between two batches.
    """

    def __init__(self, model: Any, threads: int) -> None:
        self.threads = threads
        self.seconds = self.seconds_validated = self.waited = 0.0
        self._begun = self._ended = 0.0
        # The package takes one core less than there are, each time that it chooses a device.
        model.add_callback("on_train_start", self._claim)
        model.add_callback("on_val_start", self._claim)
        model.add_callback("on_train_epoch_start", self._start)
        model.add_callback("on_train_batch_start", self._batch)
        model.add_callback("on_train_batch_end", self._batch_end)
        model.add_callback("on_train_epoch_end", self._end)
        model.add_callback("on_fit_epoch_end", self._validated)

    def _claim(self, _: Any) -> None:
        torch.set_num_threads(self.threads)

    def _start(self, _: Any) -> None:
        torch.set_num_threads(self.threads)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._begun = self._ended = time.perf_counter()
        self.waited = self.seconds_validated = 0.0

    def _batch(self, _: Any) -> None:
        self.waited += time.perf_counter() - self._ended

    def _batch_end(self, _: Any) -> None:
        self._ended = time.perf_counter()

    def _end(self, _: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._begun

    def _validated(self, _: Any) -> None:
        self.seconds_validated = self.seconds_validated or time.perf_counter() - self._begun


class LoadingDoneError(Exception):
    """Ends a training before its first step: all that was asked is known."""


def open_model(request: dict[str, Any]) -> tuple[Any, Watch, dict[str, Any]]:
    """A model, its watch, and the keys of the request that the package knows."""
    model = YOLO(request["model"])
    folder = Path(request["folder"])
    place = {"project": str(folder.parent), "name": folder.name, "exist_ok": True}
    return model, Watch(model, request["threads"]), {**request["keys"], **place, **SILENCE}


def train(request: dict[str, Any]) -> dict[str, Any]:
    """A training by the package's own recipe, in the request's folder; figures of its last epoch."""
    model, watch, keys = open_model(request)
    model.train(**keys)
    return {
        "seconds": watch.seconds,
        "seconds_validated": watch.seconds_validated,
        "waited": watch.waited,
        "peak_memory": torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0,
        "threads": torch.get_num_threads(),
        "versions": {"ultralytics": ultralytics.__version__, "torch": torch.__version__},
    }


def load(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each epoch of batches from the training loader, with no network behind it."""
    model, _, keys = open_model(request)
    seconds = []

    def measure(trainer: Any) -> None:
        trainer.args.workers = request["workers"]  # set to 0 by the package itself where there is no GPU
        loader = trainer.get_dataloader(trainer.data["train"], batch_size=keys["batch"], rank=-1, mode="train")
        for _ in range(request["rounds"]):
            begun = time.perf_counter()
            for _batch in loader:
                pass
            seconds.append(time.perf_counter() - begun)
        raise LoadingDoneError

    model.add_callback("on_train_start", measure)
    try:
        model.train(**keys)
    except LoadingDoneError:
        return {"seconds": seconds}
    raise RuntimeError("training ended without calling on_train_start")


def validate(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of a validation from its first batch to its figures; its detections in COCO's results form."""
    model, _, keys = open_model(request)
    moments: list[float] = []
    for event in ("on_val_start", "on_val_end"):
        model.add_callback(event, lambda _: moments.append(time.perf_counter()))
    result = model.val(**keys)
    return {
        "seconds": moments[1] - moments[0],
        "milliseconds": result.speed,
        "detections": str(Path(request["folder"]) / "predictions.json"),
    }


DOINGS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"train": train, "load": load, "validate": validate}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    settings.update({"sync": False})
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(DOINGS[request["do"]](request)) + "\n")


if __name__ == "__main__":
    main()
