"""A network that cannot learn eight pictures by heart has a fault somewhere between loader and loss."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.plain import PLAIN
from yolocore.config import TrainConfig
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train

SIDE = 96
OBJECTS = {0: (200, 60, 40), 1: (50, 60, 220)}  # BGR


def picture(seed: int) -> tuple[bytes, str]:
    """Noise with one blue rectangle and one red ellipse, and its label."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 160, (SIDE, SIDE, 3), dtype=np.uint8)
    rows = []
    for category, tint in OBJECTS.items():
        width, height = rng.integers(18, 40, 2).tolist()
        x, y = int(rng.integers(0, SIDE - width)), category * 48 + int(rng.integers(0, 48 - height))
        if category == 0:
            cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), tint, cv2.FILLED)
        else:
            cv2.ellipse(
                image, (x + width // 2, y + height // 2), (width // 2, height // 2), 0, 0, 360, tint, cv2.FILLED
            )
        values = ((x + width / 2) / SIDE, (y + height / 2) / SIDE, width / SIDE, height / SIDE)
        rows.append(" ".join(map(str, (category, *values))))
    return cv2.imencode(".png", image)[1].tobytes(), "\n".join(rows) + "\n"


@pytest.mark.slow
@pytest.mark.timeout(900)  # a real training, on a machine that may be busy
def test_eight_pictures_are_learnt_by_heart(tmp_path: Path) -> None:
    for split, copies in (("train", 6), ("val", 1)):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        for number in range(8 * copies):
            content, label = picture(number % 8)
            (tmp_path / "images" / split / f"{number:02}.png").write_bytes(content)
            (tmp_path / "labels" / split / f"{number:02}.txt").write_text(label)
    (tmp_path / "dataset.yaml").write_text("train: images/train\nval: images/val\nnames: [rectangle, ellipse]\n")
    config = TrainConfig(
        epochs=10, batch=4, nbs=4, imgsz=SIDE, optimizer="AdamW", lr0=0.002, warmup_epochs=1.0, device="cpu", **PLAIN
    )
    data = TrainInputs(data=str(tmp_path), model="yolo11n")
    record = train(config, data, tmp_path / "out")
    assert record.metrics["map50_95"] > 0.8
