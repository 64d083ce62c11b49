"""Pasted objects are mirror images of those that are there, in front of them, and hide little."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.painted import COLOURS, painted, showing
from yolocore.config import TrainConfig
from yolocore.data.augment import augment
from yolocore.data.objects import Objects
from yolocore.data.paste import paste
from yolocore.masks import rasterize

WIDTH, HEIGHT = 128, 96


def scene(*boxes: tuple[float, ...]) -> tuple[np.ndarray, Objects]:
    """A picture of one object in each box, of colours of their own."""
    samples = [painted("segment", (HEIGHT, WIDTH), [box], number) for number, box in enumerate(boxes)]
    image = np.max([sample.image for sample in samples], axis=0)
    return image, Objects.joined([sample.objects for sample in samples])


@pytest.mark.parametrize(
    ("boxes", "pasted"),
    [
        pytest.param([(8, 8, 40, 40)], 1, id="its other side is free"),
        pytest.param([(44, 8, 84, 40)], 0, id="it would lie on itself"),
        pytest.param([(70, 8, 122, 40)], 1, id="it hardly meets itself"),
        pytest.param([(8, 8, 40, 40), (90, 10, 120, 40)], 0, id="each would lie on the other"),
        pytest.param([(8, 8, 40, 40), (8, 50, 40, 90)], 2, id="both"),
        pytest.param([(8, 8, 40, 40), (60, 50, 70, 90)], 1, id="one of two"),
    ],
)
def test_what_is_pasted(boxes: list, pasted: int) -> None:
    image, objects = scene(*boxes)
    before = image.copy()
    after = paste(image, objects)
    assert len(after) == len(boxes) + pasted
    assert np.array_equal(image, before) is (pasted == 0)
    for row in range(len(boxes), len(after)):
        number = after.classes[row]
        x1, y1, x2, y2 = boxes[number]
        assert after.boxes[row].tolist() == [WIDTH - x2, y1, WIDTH - x1, y2]
        (mask,) = rasterize(after.outlines.take(np.arange(len(after)) == row).polygons(1), (HEIGHT, WIDTH)).dense()
        assert showing(image[..., ::-1], COLOURS[number])[mask].mean() > 0.95


def test_a_pasted_object_is_in_front_of_a_smaller_one() -> None:
    image, objects = scene((4, 4, 60, 90), (58, 10, 72, 50))
    after = paste(image, objects)
    assert after.classes.tolist() == [0, 1, 0]  # the small one would lie on itself
    masks = np.zeros((HEIGHT // 4, WIDTH // 4), np.int16)
    after.paint(masks)
    shown = showing(image[..., ::-1], COLOURS[0])[2::4, 2::4]
    assert (masks[shown] != 2).all() and (masks == 3).sum() > 100
    assert masks[4, 17] == 3 and (masks == 2).any()  # where both are


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_setting_is_a_probability_and_masks_follow_the_pixels(share: float) -> None:
    sample = painted("segment", (128, 128), [(8, 8, 56, 60)])
    still = {"scale": 0, "translate": 0, "hsv_h": 0, "hsv_s": 0, "hsv_v": 0}
    for seed in range(5):
        out = np.empty((128, 128, 3), np.uint8)
        objects = augment([[sample]], out, TrainConfig(**still, copy_paste=share), np.random.default_rng(seed))
        assert len(objects) == 1 + share
        masks = np.zeros((32, 32), np.int16)
        objects.paint(masks)
        shown = showing(out, COLOURS[0])[2::4, 2::4]
        assert (shown == (masks > 0)).mean() > 0.97
