"""Two trainers with the same questions to answer: this project, and the peer that its users come from."""

from __future__ import annotations

import gc
import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import torch

from bench.training.data import Data
from yolocore.config import TrainConfig, ValConfig
from yolocore.data.loader import TrainLoader
from yolocore.evaluate import evaluate
from yolocore.memory import reused_memory
from yolocore.modes.inputs import TrainInputs, ValInputs
from yolocore.modes.train import train
from yolocore.modes.val import val
from yolocore.runtimes.detector import open_detector

PEER_SCRIPT = Path(__file__).with_name("peer.py")
# The peer is to work with what lies here: it fetches, installs and reports nothing.
SILENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
LOADING_ROUNDS = 4  # epochs of the loader in a turn; the first fills caches and starts workers


@dataclass(frozen=True)
class Job:
    """What is trained, and where. model: a checkpoint or an architecture. threads: of the CPU, for the network.
    nbs: images whose gradients make an update; both sides have 64 as default, and each its own idea of when to keep
    to it."""

    data: Data
    model: str
    imgsz: int
    batch: int
    epochs: int
    device: str
    threads: int
    seed: int = 0
    close_mosaic: int = 10
    workers: int = 2
    nbs: int = 64


@dataclass(frozen=True)
class Pace:
    """The last epoch of a training: images/s of training alone and with validation, the share of the time in
    which the process waited for a batch, and the GPU memory in bytes that it held at most."""

    training: float
    validated: float
    waited: float
    peak_memory: int


class Side(Protocol):
    name: str

    def train(self, job: Job, folder: Path) -> Pace:
        """Train into a folder, which then holds a `results.csv`."""

    def best(self, folder: Path) -> Path:
        """The best weights of a training."""

    def loading(self, job: Job, workers: int) -> tuple[float, float]:
        """Images/s of training batches without a network: in the first epoch, and in a later one."""

    def validation(self, job: Job) -> float:
        """Images/s of the job's model over the val split, from files to mAP."""

    def detections(self, job: Job, split: str, folder: Path) -> Path:
        """Run the job's model over a split, and leave what it finds in COCO's results form."""


class Ours:
    """This project, through the functions behind its commands."""

    def __init__(self, amp: bool = True) -> None:
        self.name = "yolocore" if amp else "yolocore, amp=false"
        self.amp = amp

    def train(self, job: Job, folder: Path) -> Pace:
        if torch.cuda.is_available():  # a turn's memory is its own, not what the one before left cached
            gc.collect()
            torch.cuda.empty_cache()
        watch = _Watch()
        with limited_threads(job.threads), watch.waiting():
            train(self._config(job), TrainInputs(model=job.model, data=str(job.data.folder)), folder, watch)
        images = len(job.data.dataset.split("train"))
        peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0
        return Pace(images / watch.seconds, images / watch.seconds_validated, watch.waited / watch.seconds, peak)

    def best(self, folder: Path) -> Path:
        return folder / "best.pt"

    def loading(self, job: Job, workers: int) -> tuple[float, float]:
        seconds = []
        images = len(job.data.dataset.split("train"))
        with TrainLoader(job.data.dataset.split("train"), self._config(replace(job, workers=workers))) as loader:
            for epoch in range(LOADING_ROUNDS):
                begun = time.perf_counter()
                for _ in loader.epoch(epoch):
                    pass
                seconds.append(time.perf_counter() - begun)
        return images / seconds[0], images / min(seconds[1:])

    def validation(self, job: Job, half: bool = False) -> float:
        split = job.data.dataset.split("val")
        with limited_threads(job.threads), reused_memory():  # as the command does
            detector = open_detector(job.model, job.device, half)
            begun = time.perf_counter()
            evaluate(detector, split, ValConfig(imgsz=job.imgsz, batch=job.batch))
            return len(split) / (time.perf_counter() - begun)

    def detections(self, job: Job, split: str, folder: Path) -> Path:
        config = ValConfig(split=split, imgsz=job.imgsz, batch=job.batch, device=job.device)
        with limited_threads(job.threads):
            val(config, ValInputs(model=job.model, data=str(job.data.folder)), folder)
        return folder / "predictions.json"

    def _config(self, job: Job) -> TrainConfig:
        return TrainConfig(
            imgsz=job.imgsz,
            batch=job.batch,
            epochs=job.epochs,
            seed=job.seed,
            close_mosaic=job.close_mosaic,
            device=job.device,
            workers=job.workers,
            amp=self.amp,
            nbs=job.nbs,
        )


class Peer:
    """`ultralytics`, in a process of a Python that has it, kept from question to question."""

    name = "ultralytics"

    def __init__(self, python: str, work: Path) -> None:
        """work: a folder for its settings and its log."""
        work.mkdir(parents=True, exist_ok=True)
        self._log = work / "log.txt"
        environment = {**os.environ, **SILENT, "YOLO_CONFIG_DIR": str(work.absolute())}
        environment.pop("PYTHONPATH", None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [python, str(PEER_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
            )

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def train(self, job: Job, folder: Path) -> Pace:
        shutil.rmtree(folder, ignore_errors=True)
        answer = self._ask("train", job, folder)
        images = len(job.data.dataset.split("train"))
        return Pace(
            images / answer["seconds"],
            images / answer["seconds_validated"],
            answer["waited"] / answer["seconds"],
            answer["peak_memory"],
        )

    def best(self, folder: Path) -> Path:
        return folder / "weights" / "best.pt"

    def loading(self, job: Job, workers: int, **keys: Any) -> tuple[float, float]:
        folder = self._log.parent / "loading"
        extra = {"workers": workers, "rounds": LOADING_ROUNDS}
        seconds = self._ask("load", job, folder, keys, **extra)["seconds"]
        images = len(job.data.dataset.split("train"))
        return images / seconds[0], images / min(seconds[1:])

    def validation(self, job: Job) -> float:
        answer = self._ask("validate", job, self._log.parent / "validation", {"split": "val", "rect": True})
        return len(job.data.dataset.split("val")) / answer["seconds"]

    def detections(self, job: Job, split: str, folder: Path) -> Path:
        keys = {"split": split, "rect": True, "save_json": True}
        return Path(self._ask("validate", job, folder, keys)["detections"])

    def _ask(self, doing: str, job: Job, folder: Path, keys: Mapping[str, Any] | None = None, **extra: Any) -> Any:
        common = {"data": str(job.data.yaml), "imgsz": job.imgsz, "batch": job.batch, "device": _peer_device(job)}
        training = {
            "epochs": job.epochs,
            "seed": job.seed,
            "close_mosaic": job.close_mosaic,
            "workers": job.workers,
            "nbs": job.nbs,
        }
        request = {
            "do": doing,
            "model": job.model if Path(job.model).suffix else f"{job.model}.yaml",
            "threads": job.threads,
            "folder": str(folder.absolute()),
            "keys": {**common, **({} if doing == "validate" else training), **(keys or {})},
            **extra,
        }
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer ended; what it said last is in {self._log}")
        return json.loads(answer)


def _peer_device(job: Job) -> str:
    return {"cuda": "0"}.get(job.device, job.device)


class _Watch:
    """A listener that times the last epoch: its training, its training and validation, its waits for a batch."""

    def __init__(self) -> None:
        # Unknown when nothing is trained, because the folder holds the finished training already.
        self.seconds = self.seconds_validated = self.waited = math.nan
        self._waits: list[float] = []
        self._begun = 0.0

    def start(self, label: str, total: int | None) -> None:
        now = time.perf_counter()
        if label.startswith("epoch"):
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            self._begun, self.seconds = now, math.nan
            self._waits.clear()
        elif math.isnan(self.seconds):
            self.seconds, self.waited = now - self._begun, sum(self._waits)

    def advance(self, n: int = 1, **figures: float) -> None: ...

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        self.seconds_validated = time.perf_counter() - self._begun

    def note(self, text: str) -> None: ...

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it, every wait of a training for its next batch counts."""
        original = TrainLoader.epoch

        def epoch(loader: TrainLoader, *arguments: int) -> Iterator[Any]:
            batches = original(loader, *arguments)
            while True:
                begun = time.perf_counter()
                batch = next(batches, None)
                self._waits.append(time.perf_counter() - begun)
                if batch is None:
                    return
                yield batch

        with mock.patch.object(TrainLoader, "epoch", epoch):
            yield


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
