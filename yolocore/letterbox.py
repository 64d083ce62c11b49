"""The letterbox: fit an image into the network's canvas without distortion, and map what is found back.

One set of numbers (`Letterbox`) decides the resize, the grey border and the way back, so that they can
not disagree. The in-graph form of the served model computes the same numbers and is tested equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.boxes import Boxes, clip

FILL = 114  # the grey that YOLO networks have seen around images since training
_UNIT = np.arange(256, dtype=np.float32) / np.float32(255)


@dataclass(frozen=True)
class Letterbox:
    """Placement of an image on a canvas. Shapes are (height, width) in pixels.

    source: shape of the image. size: its shape on the canvas. shape: of the canvas.
    pad_left, pad_top: where the image's corner lies.
    """

    source: tuple[int, int]
    size: tuple[int, int]
    shape: tuple[int, int]
    pad_left: int
    pad_top: int

    @classmethod
    def fit(cls, source: tuple[int, int], shape: tuple[int, int], longest: int | None = None) -> Letterbox:
        """Centre an image of shape `source` on a canvas of `shape`, as large as it fits.

        longest: largest size in pixels of the image's longer side on the canvas; None: no limit.
        """
        limits = [*zip(shape, source, strict=True), (longest or max(shape), max(source))]
        new, old = min(limits, key=lambda limit: limit[0] / limit[1])
        # Rounded up, in whole numbers: a fraction computed as 480.0000001 must not become another row.
        height, width = (-(-side * new // old) for side in source)
        # An odd border is one pixel thinner on the left and the top.
        left = round((shape[1] - width) / 2 - 0.1)
        top = round((shape[0] - height) / 2 - 0.1)
        return cls(source, (height, width), shape, left, top)

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(h, w, 3) of the source shape → (H, W, 3) canvas, bilinear, filled with grey."""
        height, width = self.size
        if self.size == self.shape == self.source:
            return image
        canvas = np.full((*self.shape, image.shape[2]), FILL, np.uint8)
        inside = canvas[self.pad_top : self.pad_top + height, self.pad_left : self.pad_left + width]
        if self.size == self.source:
            inside[:] = image
        else:
            cv2.resize(image, (width, height), dst=inside, interpolation=cv2.INTER_LINEAR)
        return canvas

    @property
    def offset(self) -> tuple[int, int]:
        """x y of the image's corner on the canvas."""
        return self.pad_left, self.pad_top

    @property
    def gain(self) -> tuple[float, float]:
        """Pixels of the canvas per pixel of the source, along x and y: rounding makes them differ a little."""
        return self.size[1] / self.source[1], self.size[0] / self.source[0]

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """(3, 3): pixels of the source to those of the canvas."""
        (gain_x, gain_y), (left, top) = self.gain, self.offset
        return np.array([[gain_x, 0, left], [0, gain_y, top], [0, 0, 1]])

    def restore(self, boxes: Boxes) -> Boxes:
        """(n, 4) xyxy in canvas pixels → source pixels, clipped to the source image."""
        offset, gain = (np.array(pair * 2, boxes.dtype) for pair in (self.offset, self.gain))
        return clip((boxes - offset) / gain, self.source)

    def restore_points(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(…, 2 or more) x y … in canvas pixels → source pixels, the other numbers as they are."""
        restored = points.copy()
        restored[..., :2] = (points[..., :2] - np.array(self.offset, np.float32)) / np.array(self.gain, np.float32)
        return restored

    def restore_rotated(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, 5) xywhr in canvas pixels → source pixels, of the same angle.

        The two gains differ by less than a pixel over the whole image, which would turn and skew a box by less
        than its corners are known: its sides take the gain of their direction.
        """
        restored = self.restore_points(boxes)
        cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
        gain_x, gain_y = self.gain
        restored[:, 2] *= np.hypot(cos / gain_x, sin / gain_y)
        restored[:, 3] *= np.hypot(sin / gain_x, cos / gain_y)
        return restored


def centre_crop(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """(h, w, 3) → (side, side, 3): the middle of the image, whose shorter side becomes `side`. For classifiers.

    Bilinear where that enlarges; where it reduces, means over areas, without which fine texture turns into
    patterns that no training image had.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    size = side * width // shorter, side * height // shorter
    if size != (width, height):
        method = cv2.INTER_AREA if side < shorter else cv2.INTER_LINEAR
        image = cv2.resize(image, size, interpolation=method).astype(np.uint8, copy=False)
    left, top = ((length - side) // 2 for length in size)
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def rect_shape(source: tuple[int, int], imgsz: int, stride: int = 32, pad: float = 0.0) -> tuple[int, int]:
    """Smallest canvas (height, width), a multiple of stride, that holds an image with longer side imgsz.

    pad: extra border in strides, before rounding up. Validation has half a stride, so that objects at
    the border get some context.
    """
    longest = max(source)
    height, width = (math.ceil(side / longest * imgsz / stride + pad) * stride for side in source)
    return height, width


def to_tensor_batch(canvases: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """B canvases (H, W, 3) BGR of one shape → (B, 3, H, W) float32 RGB in 0..1, contiguous."""
    height, width = canvases[0].shape[:2]
    batch = np.empty((len(canvases), 3, height, width), np.float32)
    for planes, canvas in zip(batch, canvases, strict=True):
        # A table look-up per plane is exact and twice as fast as any way of dividing.
        for plane, channel in zip(planes[::-1], cv2.split(canvas), strict=True):
            cv2.LUT(channel, _UNIT, dst=plane)
    return batch
