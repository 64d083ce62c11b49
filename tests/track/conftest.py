"""A detector that needs no weights: bright rectangles on black, found by their brightness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.detections import Detections
from yolocore.media import VideoFile
from yolocore.meta import ModelMeta
from yolocore.runtimes.detector import Timings

SIZE = (320, 240)


class BrightnessDetector:
    """Connected bright regions; a region's mean brightness is its score, its colour channel its class."""

    def __init__(self) -> None:
        self.meta = ModelMeta(names=("blue", "green"), imgsz=320)
        self.timings = Timings()

    def detect(self, images: Sequence[np.ndarray], *, conf: float, max_det: int, **_: object) -> list[Detections]:
        return [self._find(image, conf)[:max_det] for image in images]

    def _find(self, image: np.ndarray, conf: float) -> Detections:
        parts = []
        for channel in range(len(self.meta.names)):
            level = image[..., channel]
            count, labels, stats, _ = cv2.connectedComponentsWithStats((level > 20).astype(np.uint8))
            for index in range(1, count):
                x, y, w, h, area = stats[index]
                score = float(level[labels == index].mean()) / 255
                if area >= 50 and score >= conf:
                    box = np.array([[x, y, x + w, y + h]], np.float32)
                    parts.append(Detections(box, np.array([score], np.float32), np.array([channel])))
        return Detections.merge(parts)


@pytest.fixture
def bright() -> BrightnessDetector:
    return BrightnessDetector()


Place = tuple[int, int]


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """Write a video of 24 x 40 rectangles, given by centre, one of each colour and frame; None hides one."""

    def write(blue: Sequence[Place | None], green: Sequence[Place | None], fps: float = 30) -> Path:
        folder = tmp_path / "film"
        folder.mkdir()
        lines = []
        with VideoFile(folder / "film.mp4", fps, SIZE) as file:
            for frame, places in enumerate(zip(blue, green, strict=True), start=1):
                image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
                for channel, place in enumerate(places):
                    if place:
                        x, y = place
                        image[y - 20 : y + 20, x - 12 : x + 12, channel] = 230
                        lines.append(f"{frame},{channel + 1},{x - 12},{y - 20},24,40,1,{channel},1\n")
                file.write(image)
        (folder / "gt.txt").write_text("".join(lines))
        return folder / "film.mp4"

    return write
