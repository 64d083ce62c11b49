"""Pictures for classifiers: which part of the image they show, and how much of it is erased."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.plain import PLAIN
from yolocore.config import TrainConfig
from yolocore.data.classify import ERASED_SHARES, augment, random_part
from yolocore.letterbox import centre_crop

STILL = {"fliplr": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0, "erasing": 0.0}
# Blue is the column and green the row, as shares of 255: a picture says which part of the image it shows.
PLACES = np.stack(
    np.broadcast_arrays(np.linspace(0, 255, 200)[None], np.linspace(0, 255, 150)[:, None], np.zeros((150, 200))), 2
).astype(np.uint8)


def drawn(seed: int, side: int = 64, image: np.ndarray = PLACES, **settings) -> np.ndarray:
    out = np.empty((side, side, 3), np.uint8)
    augment(image, out, TrainConfig(**{**STILL, **settings}), np.random.default_rng(seed))
    return out


@pytest.mark.parametrize("size", [(150, 200), (64, 64), (30, 300), (1, 5)], ids=str)
def test_without_augmentation_it_is_what_inference_sees(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    out = np.empty((64, 64, 3), np.uint8)
    augment(image, out, TrainConfig(**PLAIN), np.random.default_rng(0))
    assert np.array_equal(out[..., ::-1], centre_crop(image, 64))


@pytest.mark.parametrize("crop", [0.08, 0.3, 0.5])
def test_a_crop_has_its_share_of_the_area_and_may_lie_anywhere(crop: float) -> None:
    shares, centres = [], []
    for seed in range(200):
        out = drawn(seed, crop=crop).astype(float)
        column, row = out[..., 2] / 255, out[..., 1] / 255
        width, height = column[:, -1].mean() - column[:, 0].mean(), row[-1].mean() - row[0].mean()
        shares.append(width * height)
        centres.append((column.mean(), row.mean()))
        assert (np.diff(column, axis=1) >= -1e-9).all()
    assert crop - 0.08 < min(shares) < crop + 0.1 and max(shares) > 0.8
    reach = np.ptp(centres, axis=0)
    assert (reach > 0.6 * (1 - crop) * np.array([1, 0.6])).all()


def test_flips() -> None:
    plain, turned = drawn(0), drawn(0, fliplr=1.0, flipud=1.0)
    assert np.array_equal(plain[::-1, ::-1], turned)


def test_erasing() -> None:
    grey = np.full((80, 80, 3), 99, np.uint8)
    shares = []
    for seed in range(200):
        out = drawn(seed, image=grey, erasing=0.5)
        erased = (out != 99).any(2)
        if erased.any():
            rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
            assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.99
            shares.append(erased.mean())
    assert 70 < len(shares) < 130
    assert ERASED_SHARES[0] - 0.01 < min(shares) and max(shares) < ERASED_SHARES[1] + 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)], ids=str)
def test_a_part_of_any_image_lies_in_it(size: tuple[int, int]) -> None:
    width, height = size
    for seed in range(30):
        x, y, w, h = random_part(width, height, (0.08, 1.0), (0.75, 4 / 3), np.random.default_rng(seed))
        assert 0 <= x <= x + w <= width and 0 <= y <= y + h <= height and w * h > 0
