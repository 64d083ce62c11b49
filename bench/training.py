"""Training: what mixed precision brings on this processor, and whether the loader keeps up with it."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

import torch

from bench.harness import compare
from yolocore.config import IngestConfig, TrainConfig
from yolocore.data import open_dataset
from yolocore.data.loader import TrainLoader
from yolocore.model.yolo11 import build
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs
from yolocore.train.assign import Targets
from yolocore.train.loss import detection_loss
from yolocore.train.process import mixed_precision

CONFIG = TrainConfig(imgsz=320, batch=16)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        ingest(IngestConfig(demo_images=128, demo_imgsz=CONFIG.imgsz), IngestInputs(source="demo"), data)
        dataset = open_dataset(data)
        model = build("n", len(dataset.names)).to(memory_format=torch.channels_last).train()
        with TrainLoader(dataset.split("train"), CONFIG) as loader:
            batch = next(iter(loader.epoch(0)))
            half = mixed_precision(torch.device("cpu"))

            def step(dtype: torch.dtype | None) -> None:
                images = torch.from_numpy(batch.images).permute(0, 3, 1, 2).float().div_(255)
                targets = Targets(*map(torch.from_numpy, (batch.image, batch.classes, batch.boxes)))
                with torch.autocast("cpu", dtype, enabled=dtype is not None):
                    maps = model.maps(images)
                detection_loss(maps, targets, CONFIG)[0].backward()
                model.zero_grad()

            contestants = {"loader: decode, mosaic, augment": lambda: list(islice(loader.epoch(1), 1))}
            if half:
                contestants[f"forward and backward in {half}"] = lambda: step(half)
            contestants["forward and backward in float32"] = lambda: step(None)
            compare(f"a batch of {CONFIG.batch} at {CONFIG.imgsz} × {CONFIG.imgsz}, yolo11n, CPU", contestants, 5)
