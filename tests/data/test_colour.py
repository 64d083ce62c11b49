"""Colour changes against their definition in floating point, and what each leaves as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolocore.config import TrainConfig
from yolocore.data.colour import recolour

LUMA = np.array([0.299, 0.587, 0.114])
STILL = {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0}
MUTED = np.random.default_rng(0).integers(90, 150, (20, 30, 3), np.uint8)  # BGR that no change takes out of 0..255


def changed(seed: int, **gains: float) -> np.ndarray:
    """(h, w, 3) RGB."""
    out = MUTED.copy()
    recolour(out, TrainConfig(**{**STILL, **gains}), np.random.default_rng(seed))
    return out.astype(float)


def chroma(rgb: np.ndarray) -> np.ndarray:
    """(…, 2) I and Q."""
    return rgb @ np.array([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]).T


def test_without_gains_only_the_order_of_the_channels_changes() -> None:
    every = np.random.default_rng(1).integers(0, 256, (50, 50, 3), np.uint8)
    out = every.copy()
    recolour(out, TrainConfig(**STILL), np.random.default_rng(0))
    assert np.array_equal(out, every[..., ::-1])


@pytest.mark.parametrize("seed", range(5))
def test_each_gain_changes_its_own(seed: int) -> None:
    before = MUTED[..., ::-1].astype(float)
    draw = np.random.default_rng(seed).uniform(-1, 1, 3)
    i, q = np.moveaxis(chroma(before), -1, 0)

    turned = changed(seed, hsv_h=0.1)
    assert np.abs(turned @ LUMA - before @ LUMA).max() <= 0.6
    angle = 2 * math.pi * 0.1 * draw[0]
    expected = np.stack((i * math.cos(angle) - q * math.sin(angle), i * math.sin(angle) + q * math.cos(angle)), -1)
    assert np.abs(chroma(turned) - expected).max() <= 0.8

    paler = changed(seed, hsv_s=0.7)
    assert np.abs(paler @ LUMA - before @ LUMA).max() <= 0.6
    assert np.abs(chroma(paler) - chroma(before) * (1 + 0.7 * draw[1])).max() <= 0.8

    brighter = changed(seed, hsv_v=0.4)
    assert np.abs(brighter - before * (1 + 0.4 * draw[2])).max() <= 0.7


def test_what_leaves_the_range_is_cut() -> None:
    image = np.full((2, 2, 3), 250, np.uint8)
    recolour(image, TrainConfig(**{**STILL, "hsv_v": 1.0}), np.random.default_rng(4))
    assert np.random.default_rng(4).uniform(-1, 1, 3)[2] > 0.1
    assert (image == 255).all()
