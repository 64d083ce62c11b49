"""A network that needs no weights: it finds the bright rectangle in each picture, exactly."""

import cv2
import numpy as np

from yolocore.meta import ModelMeta
from yolocore.runtimes.base import PROTOTYPES, columns


class BrightRuntime:
    """A `Runtime`. Class 0 is a red rectangle, class 1 a green one; the score is 0.9, or 0.001 where none is.

    By the task, the rectangle's mask is its upper left triangle, its keypoints are two opposite corners (the second
    one hidden), its rotated box stands on its side, and the picture is what the rectangle is.
    seen: shapes of the batches that came.
    """

    name = "bright"

    def __init__(self, shape=None, names=("red", "green"), task="detect"):
        self.meta = ModelMeta(names=names, imgsz=128, task=task, keypoints=(2, 3) if task == "pose" else None)
        self.shape = shape
        self.seen = []

    def forward(self, batch):
        self.seen.append(batch.shape)
        if self.meta.task == "classify":
            green, red = (batch[:, channel].mean(axis=(1, 2)) for channel in (1, 0))
            return (np.stack([red > green, red <= green], axis=1).astype(np.float32),)
        output = np.zeros((len(batch), columns(self.meta), 3), np.float32)
        first = 4 + len(self.meta.names)
        for picture, rows in zip(batch, output, strict=True):
            rows[4:first] = 0.001
            ys, xs = np.nonzero(picture[:2].max(axis=0) > 0.75)
            if len(ys):
                x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
                rows[:4, 0] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
                rows[4 + int(picture[1, ys, xs].mean() > 0.5), 0] = 0.9
                if self.meta.task == "segment":
                    # x / width + y / height < 1, seen from the corner.
                    rows[first : first + 3, 0] = -1 / (x2 - x1), -1 / (y2 - y1), 1 + x1 / (x2 - x1) + y1 / (y2 - y1)
                elif self.meta.task == "pose":
                    rows[first:, 0] = x1, y1, 0.9, x2, y2, 0.2
                elif self.meta.task == "obb":
                    rows[2:4, 0], rows[first, 0] = (y2 - y1, x2 - x1), np.pi / 2
        if self.meta.task != "segment":
            return (output,)
        # The first prototypes are the coordinates of the canvas's pixels, and one.
        height, width = (side // 4 for side in batch.shape[2:])
        prototypes = np.zeros((len(batch), PROTOTYPES, height, width), np.float32)
        prototypes[:, 0] = 4 * (np.arange(width) + 0.5)
        prototypes[:, 1] = 4 * (np.arange(height)[:, None] + 0.5)
        prototypes[:, 2] = 1
        return output, prototypes


def picture(size, box=None, green=False):
    """Black u8 (h, w, 3) BGR with one rectangle x1 y1 x2 y2, red unless green."""
    image = np.zeros((*size, 3), np.uint8)
    if box:
        x1, y1, x2, y2 = box
        image[y1:y2, x1:x2, 1 if green else 2] = 255
    return image


def encoded(image):
    return cv2.imencode(".png", image)[1].tobytes()
