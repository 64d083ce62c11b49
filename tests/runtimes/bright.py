"""A network that needs no weights: it finds the bright rectangle in each picture, exactly."""

import cv2
import numpy as np

from yolocore.meta import ModelMeta


class BrightRuntime:
    """A `Runtime`. Class 0 is a red rectangle, class 1 a green one; the score is 0.9, or 0.001 where none is.

    seen: shapes of the batches that came.
    """

    name = "bright"

    def __init__(self, shape=None, names=("red", "green")):
        self.meta = ModelMeta(names=names, imgsz=128)
        self.shape = shape
        self.seen = []

    def forward(self, batch):
        self.seen.append(batch.shape)
        output = np.zeros((len(batch), 4 + len(self.meta.names), 3), np.float32)
        for picture, rows in zip(batch, output, strict=True):
            rows[4:] = 0.001
            ys, xs = np.nonzero(picture[:2].max(axis=0) > 0.75)
            if len(ys):
                x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
                rows[:4, 0] = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
                rows[4 + int(picture[1, ys, xs].mean() > 0.5), 0] = 0.9
        return (output,)


def picture(size, box=None, green=False):
    """Black u8 (h, w, 3) BGR with one rectangle x1 y1 x2 y2, red unless green."""
    image = np.zeros((*size, 3), np.uint8)
    if box:
        x1, y1, x2, y2 = box
        image[y1:y2, x1:x2, 1 if green else 2] = 255
    return image


def encoded(image):
    return cv2.imencode(".png", image)[1].tobytes()
