"""Rare classes weigh more, and the loss as a whole as much as before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from yolocore.train.balance import class_weights


class Split(list):
    """Images as lists of class indices."""

    def labels(self, index: int) -> Any:
        return SimpleNamespace(classes=np.array(self[index], np.int64))


IMAGES: Any = Split([[0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0], []])


def test_power_zero_weighs_nothing() -> None:
    assert class_weights(IMAGES, 3, 0.0) is None


@pytest.mark.parametrize("power", [0.25, 0.5, 1.0])
def test_weights(power: float) -> None:
    weights = class_weights(IMAGES, 3, power)
    assert weights is not None
    assert weights[1] / weights[0] == pytest.approx((9 / 2) ** power)
    assert (9 * weights[0] + 2 * weights[1]) / 11 == pytest.approx(1.0)
    assert weights[2] == 1
