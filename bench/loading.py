"""The loader alone: training pictures a second, and where the time of one goes.

BENCH_DATA=FOLDER measures a dataset of yours (its train split) in place of the built-in one, which is like a small
set of micrographs: 205 JPEGs of 640 × 480, a dozen round cells each.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.harness import compare_rates
from yolocore.config import TrainConfig
from yolocore.data import Split, open_dataset
from yolocore.data.loader import TrainLoader

IMAGES, HEIGHT, WIDTH, CELLS = 205, 480, 640, 12
SIDES = (320, 640)
WORKERS = (0, 2)
TURNS = 5

# Functions that are timed, where they are called; what is left over is labels, randomness and bookkeeping.
STAGES = {
    "decode": "yolocore.data.cache.decode_image",
    "draw": "yolocore.data.augment.draw",
    "colour": "yolocore.data.augment.recolour",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(os.environ.get("BENCH_DATA") or made(Path(folder)))
        split = open_dataset(data).split("train")
        compare_rates(
            f"pictures a second, mosaics of {len(split)} images, one epoch",
            {
                f"{side} × {side}, {workers} workers": epochs(split, TrainConfig(imgsz=side, workers=workers))
                for side in SIDES
                for workers in WORKERS
            },
            TURNS,
        )
        for side in SIDES:
            show_stages(split, TrainConfig(imgsz=side, workers=0))


def epochs(split: Split, config: TrainConfig) -> Callable[[int], dict[str, float]]:
    """Measures the first epoch, which decodes every image, and the second, which finds them in memory."""

    def run(_: int) -> dict[str, float]:
        with TrainLoader(split, config) as loader:
            return {name: rate(loader, epoch) for epoch, name in enumerate(("first", "later"))}

    return run


def rate(loader: TrainLoader, epoch: int) -> float:
    """Pictures a second."""
    start = time.perf_counter()
    pictures = sum(len(batch.images) for batch in loader.epoch(epoch))
    return pictures / (time.perf_counter() - start)


def show_stages(split: Split, config: TrainConfig) -> None:
    """Print the milliseconds of the processor that a picture takes, by stage."""
    table = Table("", *STAGES, "labels, other", "all", title=f"ms a picture at {config.imgsz} × {config.imgsz}")
    table.title_justify = "left"
    with TrainLoader(split, config) as loader:
        for epoch, name in enumerate(("first epoch", "later")):
            spent = stages(loader, epoch)
            cells = [spent[stage] / len(split) * 1000 for stage in (*STAGES, "other", "all")]
            table.add_row(name, *(f"{cell:.3f} ({cell / cells[-1]:.0%})" for cell in cells))
    Console().print(table)


def stages(loader: TrainLoader, epoch: int) -> Counter[str]:
    """Seconds of the processor in each stage of an epoch made by one thread."""
    spent: Counter[str] = Counter()

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start = time.thread_time()
            result = function(*arguments)
            spent[stage] += time.thread_time() - start
            return result

        return run

    patches = []
    for stage, path in STAGES.items():
        module, name = path.rsplit(".", 1)
        patches.append(patch(path, timed(stage, getattr(importlib.import_module(module), name))))
    start = time.process_time()
    for each in patches:
        each.start()
    for _ in loader.epoch(epoch):
        pass
    for each in patches:
        each.stop()
    spent["all"] = time.process_time() - start
    spent["other"] = spent["all"] - sum(spent[stage] for stage in STAGES)
    return spent


def made(folder: Path) -> Path:
    """Write the built-in images and their labels in YOLO form."""
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind / "train").mkdir(parents=True)
    for number in range(IMAGES):
        image = np.full((HEIGHT, WIDTH, 3), (205, 215, 225), np.uint8)
        rows = []
        for x, y, radius in rng.uniform((60, 60, 25), (WIDTH - 60, HEIGHT - 60, 55), (CELLS, 3)):
            colour = rng.uniform((140, 130, 170), (190, 180, 210)).tolist()
            cv2.circle(image, (round(x), round(y)), round(radius), colour, -1, cv2.LINE_AA)
            rows.append(f"0 {x / WIDTH} {y / HEIGHT} {2 * radius / WIDTH} {2 * radius / HEIGHT}\n")
        grain = cv2.GaussianBlur(rng.normal(0, 12, image.shape).astype(np.float32), (0, 0), 1.5)
        image = np.clip(cv2.GaussianBlur(image, (0, 0), 1.5) + grain, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / "train" / f"{number:03}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        (folder / "labels" / "train" / f"{number:03}.txt").write_text("".join(rows))
    (folder / "dataset.yaml").write_text("train: images/train\nval: images/train\nnames: [cell]\n")
    return folder
