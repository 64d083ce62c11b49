"""Copy-paste of objects with their outlines (Ghiasi et al. 2021, "Simple Copy-Paste is a Strong Data Augmentation
Method for Instance Segmentation", arXiv:2012.07177), here from the picture's own mirror image.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.boxes import area
from yolocore.data.geometry import Picture, mirror
from yolocore.data.objects import Objects
from yolocore.masks import rasterize

MAX_COVERED = 0.3  # share of any object's box that a pasted one may cover


def paste(image: Picture, objects: Objects) -> Objects:
    """Paste the objects of (h, w, 3) uint8, mirrored left-right, into it in place, in front of all others.

    Left out are those whose box would cover an object's box by `MAX_COVERED` or more.
    objects: with outlines, all within the picture. Returns them and the pasted ones.
    """
    height, width = image.shape[:2]
    copies = objects.moved(np.broadcast_to(mirror(width), (len(objects), 3, 3)))
    copies = copies.take(_covered(copies.boxes, objects.boxes).max(1, initial=0) < MAX_COVERED)
    if not len(copies) or copies.outlines is None or copies.depth is None:
        return objects
    masks = rasterize(copies.outlines.polygons(len(copies)), (height, width))
    mirrored = cv2.flip(image, 1)
    for (x, y), crop in zip(masks.corners.tolist(), masks.crops, strict=True):
        part = slice(y, y + crop.shape[0]), slice(x, x + crop.shape[1])
        cv2.copyTo(mirrored[part], crop.view(np.uint8), dst=image[part])
    # No depth in the picture is more than its area: these come before all, and keep their order.
    return Objects.joined([objects, replace(copies, depth=copies.depth - height * width)])


def _covered(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """(n, 4), (m, 4) → (n, m) the share of each b that each a covers."""
    size = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    return np.maximum(size, 0).prod(-1) / area(b)
