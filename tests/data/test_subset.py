"""A part of a split is a split: the same images and labels, only fewer."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from yolocore.data import open_dataset
from yolocore.data.subset import subset

CAT, DOG = "0 .5 .5 .5 .5\n", "1 .5 .5 .2 .2\n"
COUNT = 20


@pytest.fixture
def split(yolo_folder):
    """Images of a cat, of both, of a dog, and of nothing, in turn."""
    labels = {f"train/{i:02d}": (CAT, CAT + DOG, DOG, "")[i % 4] for i in range(COUNT)}
    return open_dataset(yolo_folder(labels | {"val/a": CAT})).split("train")


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 20), (0.5, 10), (0.26, 5), (0.001, 1)])
def test_a_share_keeps_order_and_images(split, fraction, count):
    part = subset(split, fraction)
    assert len(part) == len(part.names) == len(part.sizes) == count
    assert list(part.names) == sorted(part.names)
    for index, name in enumerate(part.names):
        row = split.names.index(name)
        assert part.image(index) == split.image(row)
        np.testing.assert_array_equal(part.labels(index).boxes, split.labels(row).boxes)
    assert subset(split, fraction).names == part.names


def test_a_larger_share_holds_the_smaller_ones(split):
    shares = [set(subset(split, fraction).names) for fraction in (0.1, 0.4, 0.8, 1.0)]
    assert all(small < large for small, large in pairwise(shares))
    assert set(subset(split, 0.4, seed=1).names) != shares[1]


def test_only_some_classes(split):
    part = subset(split, classes=[1])
    assert part.names == split.names
    assert [part.labels(i).classes.tolist() for i in range(4)] == [[], [1], [1], []]
    part = subset(split, classes=[1], background=False)  # what was empty before stays
    assert part.names == tuple(name for i, name in enumerate(split.names) if i % 4 != 0)


def test_all_classes_as_one(split):
    part = subset(split, single_cls=True)
    assert [part.labels(i).classes.tolist() for i in range(4)] == [[0], [0, 0], [0], []]
    assert part.labels(0).classes.dtype == np.int64
    part = subset(split, classes=[1], single_cls=True)  # chosen by what they are called in the dataset
    assert [part.labels(i).classes.tolist() for i in range(4)] == [[], [0], [0], []]


def test_every_choice_has_its_digest(split):
    choices = [{}, {"fraction": 0.5}, {"fraction": 0.5, "seed": 1}, {"classes": [1]}, {"classes": [0, 1]}]
    choices += [{"single_cls": True}, {"classes": [1], "single_cls": True}]
    assert len({subset(split, **choice).digest for choice in choices}) == len(choices)
    assert subset(split, classes=[1, 0]).digest == subset(split, classes=(0, 1)).digest


def test_the_whole_is_the_split_itself(split):
    assert subset(split) is split


def test_it_goes_to_other_processes(split):
    part = subset(split, 0.5, [0])
    again = pickle.loads(pickle.dumps(part))
    assert again.names == part.names
    assert again.digest == part.digest
