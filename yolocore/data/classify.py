"""Training pictures for classifiers: a random part of the image, flipped, recoloured, partly erased."""

from __future__ import annotations

import math

import cv2
import numpy as np

from yolocore.config.tree import TrainConfig
from yolocore.data.colour import recolour
from yolocore.data.geometry import Picture, flip
from yolocore.letterbox import centre_crop

# Aspects of a part of an image (Szegedy et al. 2015, "Going Deeper with Convolutions"), and areas and aspects of
# what is erased (Zhong et al. 2017, "Random Erasing Data Augmentation", arXiv:1708.04896).
CROP_ASPECTS = (3 / 4, 4 / 3)
ERASED_SHARES = (0.02, 0.33)
ERASED_ASPECTS = (0.3, 3.3)
TRIES = 10


def augment(image: Picture, out: Picture, config: TrainConfig, rng: np.random.Generator) -> None:
    """Draw a random part of (h, w, 3) uint8 BGR into `out`, (side, side, 3) uint8 RGB.

    With crop=1 there is no freedom left, and the part is the central square that inference sees.
    """
    side = len(out)
    if config.crop == 1:
        out[:] = centre_crop(image, side)
    else:
        x, y, width, height = random_part(image.shape[1], image.shape[0], (config.crop, 1.0), CROP_ASPECTS, rng)
        method = cv2.INTER_AREA if min(width, height) > side else cv2.INTER_LINEAR
        cv2.resize(image[y : y + height, x : x + width], (side, side), dst=out, interpolation=method)
    flip(out, config, rng)
    recolour(out, config, rng)
    if rng.random() < config.erasing:
        x, y, width, height = random_part(side, side, ERASED_SHARES, ERASED_ASPECTS, rng)
        out[y : y + height, x : x + width] = rng.integers(0, 256, (height, width, 3), np.uint8)


def random_part(
    width: int, height: int, shares: tuple[float, float], aspects: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """x, y, width, height in pixels of a random rectangle in an image; its share of the area is uniform, its aspect
    (width / height) log-uniform. Where none is found that fits, the central square."""
    for _ in range(TRIES):
        area = width * height * rng.uniform(*shares)
        aspect = math.exp(rng.uniform(math.log(aspects[0]), math.log(aspects[1])))
        w, h = max(round(math.sqrt(area * aspect)), 1), max(round(math.sqrt(area / aspect)), 1)
        if w <= width and h <= height:
            x, y = rng.integers(0, (width - w + 1, height - h + 1)).tolist()
            return x, y, w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side
