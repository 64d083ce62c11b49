"""Batches of an epoch: every image once, and shapes that fit them."""

from __future__ import annotations

import numpy as np
import pytest

from yolocore.config import TrainConfig
from yolocore.data.plan import batch_count, largest_side, plan_epoch

SIZES = np.random.default_rng(0).integers(50, 400, (37, 2))


def planned(epoch: int = 0, sizes: np.ndarray = SIZES, **settings):
    return plan_epoch(sizes, TrainConfig(**{"imgsz": 320, "batch": 8, **settings}), epoch)


@pytest.mark.parametrize(
    "settings", [{}, {"rect": True}, {"multi_scale": 0.5}, {"rect": True, "multi_scale": 0.25}, {"batch": 64}], ids=str
)
def test_every_image_once_in_batches_of_nearly_equal_size(settings: dict) -> None:
    runs = planned(**settings)
    lengths = [len(run.images) for run in runs]
    assert sorted(np.concatenate([run.images for run in runs])) == list(range(len(SIZES)))
    assert [run.first for run in runs] == np.cumsum([0, *lengths[:-1]]).tolist()
    assert len(runs) == batch_count(len(SIZES), TrainConfig(batch=settings.get("batch", 8)))
    assert max(lengths) - min(lengths) <= 1
    again = planned(**settings)
    assert all(np.array_equal(a.images, b.images) and a.shape == b.shape for a, b in zip(runs, again, strict=True))


def test_a_rectangle_is_the_least_that_holds_its_images() -> None:
    for run in planned(rect=True):
        height, width = run.shape
        assert height % 32 == width % 32 == 0 and max(height, width) == 320
        needed = (SIZES[run.images] * (320 / SIZES[run.images].max(1, keepdims=True))).max(0)
        assert (needed <= run.shape).all() and (needed > np.array(run.shape) - 32).all()
    area = sum(len(run.images) * run.shape[0] * run.shape[1] for run in planned(rect=True))
    assert area < 0.85 * len(SIZES) * 320 * 320


def test_epochs_of_rectangles_differ_in_order_and_in_company_where_aspects_are_equal() -> None:
    def groups(epoch: int, sizes: np.ndarray) -> list[frozenset]:
        return [frozenset(run.images.tolist()) for run in planned(epoch, sizes, rect=True)]

    different, alike = SIZES[:32], np.full((32, 2), 100)
    assert groups(0, different) != groups(1, different) and set(groups(0, different)) == set(groups(1, different))
    assert set(groups(0, alike)) != set(groups(1, alike))


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        pytest.param(0.0, 320, 320, id="none"),
        pytest.param(0.1, 288, 352, id="a tenth is one stride"),
        pytest.param(0.05, 320, 320, id="less than a stride"),
        pytest.param(0.5, 160, 480, id="half"),
        pytest.param(0.99, 32, 608, id="nearly all"),
    ],
)
def test_sides_of_multi_scale(change: float, low: int, high: int) -> None:
    sides = [run.shape for epoch in range(60) for run in planned(epoch, multi_scale=change)]
    assert all(height == width and height % 32 == 0 for height, width in sides)
    assert {min(sides)[0], max(sides)[0]} == {low, high}
    assert largest_side(TrainConfig(imgsz=320, multi_scale=change)) == high


def test_a_side_depends_on_seed_epoch_and_number_only() -> None:
    def sides(epoch: int, **settings) -> list:
        return [run.shape for run in planned(epoch, multi_scale=0.5, **settings)]

    assert sides(0) != sides(1) and sides(0) != sides(0, seed=1)
    assert [max(shape) for shape in sides(0)] == [max(shape) for shape in sides(0, rect=True)]
    assert sides(0, batch=4)[:5] == sides(0)
