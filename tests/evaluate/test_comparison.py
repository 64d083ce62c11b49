"""Challenger beside champion: the figures of both, and the same bytes of the picture for the same figures."""

import cv2
import numpy as np
import pytest

from tests.evaluate.coco import random_split
from yolocore.evaluate import measure_detections
from yolocore.evaluate.bootstrap import paired_bootstrap
from yolocore.evaluate.comparison import Comparison, draw_comparison, markdown_table


def compare(classes, same=False):
    found, labels = random_split(0, 30, classes, 6)
    names = [f"class {i}" for i in range(classes)]
    ours = measure_detections(found, labels, names)
    theirs = ours if same else measure_detections([each[: len(each) // 2] for each in found], labels, names)
    gains = paired_bootstrap(ours.principal, theirs.principal, len(labels), resamples=100, seed=0)
    return Comparison(ours, theirs, gains, 0.95)


def test_figures_are_those_of_both_models():
    comparison = compare(3)
    total, classes = comparison.summary(), comparison.per_class()
    assert total["gain"] == total["map50_95"] - total["champion_map50_95"] > 0
    assert total["gain_low"] <= total["gain_high"]
    assert list(classes) == ["class 0", "class 1", "class 2"]
    for key in ("map50_95", "champion_map50_95", "gain"):
        assert np.mean([row[key] for row in classes.values()]) == pytest.approx(total[key])
    assert {name: row["objects"] for name, row in classes.items()} == {
        name: row["objects"] for name, row in comparison.challenger.per_class().items()
    }


def test_the_table_leaves_out_what_is_not_known():
    row = {"objects": 3, "map50_95": 0.5}
    assert markdown_table({"a": row}) == "|  | objects | mAP50-95 |\n| --- | ---: | ---: |\n| a | 3 | 0.5000 |\n"
    both = markdown_table({"all": {"map50_95": 0.5, "gain": -0.1}, "a": row})
    assert both.splitlines()[2:] == ["| all |  | 0.5000 | -0.1000 |", "| a | 3 | 0.5000 |  |"]


@pytest.mark.parametrize(
    ("classes", "same"),
    [(3, False), (40, False), (3, True)],
    ids=["few classes", "more than are shown", "a model beside itself"],
)
def test_pictures_have_the_same_bytes_again(tmp_path, classes, same):
    comparison = compare(classes, same)
    for name in ("one.png", "two.png"):
        draw_comparison(comparison, -0.01, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert cv2.imread(str(tmp_path / "one.png")).std() > 1
