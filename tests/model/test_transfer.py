"""Which tensors a model takes over from another one."""

import pytest
import torch

from yolocore.errors import ModelError
from yolocore.model.transfer import transfer
from yolocore.model.yolo11 import build


@pytest.mark.parametrize(
    ("scale", "classes", "width", "fresh"),
    [
        pytest.param("n", (80, 80), None, None, id="the same classes: everything"),
        # Of the nano size's class branch, only what works on the neck's channels has the same width.
        pytest.param("n", (80, 3), None, "model.23.cv3.", id="other classes in n: a fresh class branch"),
        pytest.param("n", (80, 3), 80, "model.23.cv3.*.2.", id="its width kept: a fresh last layer"),
        pytest.param("s", (80, 3), None, "model.23.cv3.*.2.", id="other classes in s: a fresh last layer"),
    ],
)
def test_copies_what_fits(scale, classes, width, fresh):
    source, target = build(scale, classes[0]), build(scale, classes[1], class_width=width)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    report = transfer(target, source)
    assert set(report.copied) | set(report.fresh) == set(before)
    after = target.state_dict()
    assert all(torch.equal(after[key], source.state_dict()[key]) for key in report.copied)
    assert all(torch.equal(after[key], before[key]) for key in report.fresh)
    if fresh is None:
        assert not report.fresh
    else:
        prefix, _, suffix = fresh.partition("*")
        assert report.fresh
        assert all(key.startswith(prefix) and suffix in key for key in report.fresh)


KEYPOINTS = {"pose": (17, 3)}
NECK_AND_HEAD = tuple(f"model.{index}." for index in range(11, 24))


@pytest.mark.parametrize(
    ("source", "target", "fresh"),
    [
        pytest.param("detect", "segment", ("model.23.proto.", "model.23.cv4."), id="what a segmenter adds"),
        pytest.param("segment", "detect", (), id="a detector has nothing of its own"),
        pytest.param("segment", "obb", ("model.23.cv4.",), id="masks say nothing about angles"),
        pytest.param("detect", "classify", ("model.10.",), id="a classifier's head"),
        pytest.param(
            "classify", "pose", ("model.9.", *(f"model.{i}." for i in range(11, 24))), id="all but a backbone"
        ),
        pytest.param("classify", "classify", (), id="everything"),
    ],
)
def test_starts_from_another_task(source, target, fresh):
    models = [build("n", 80, task, KEYPOINTS.get(task)) for task in (source, target)]
    for value in models[0].state_dict().values():
        value.fill_(7)
    report = transfer(models[1], models[0])
    assert all(key.startswith(fresh) for key in report.fresh)
    assert not any(key.startswith(fresh) for key in report.copied) or not fresh
    after = models[1].state_dict()
    assert {key for key, value in after.items() if bool((value == 7).all())} == set(report.copied)


def test_a_classifiers_attention_is_a_detectors_though_its_number_differs():
    source, target = build("n", 3, "classify"), build("n", 3)
    transfer(target, source)
    own, other = target.model[10].state_dict(), source.model[9].state_dict()
    assert all(torch.equal(own[key], other[key]) for key in other)


def test_the_same_shape_in_another_tasks_head_is_not_taken():
    # In the largest size the added branches of both tasks are equally wide.
    with torch.device("meta"):
        source, target = build("x", 3, "segment"), build("x", 3, "obb")
    fresh = transfer(target, source).fresh
    assert "model.23.cv4.0.0.conv.weight" in fresh
    assert all(key.startswith("model.23.cv4.") for key in fresh)


def test_refuses_another_size():
    with pytest.raises(ModelError, match="a yolo11n cannot start from weights of a yolo11s"):
        transfer(build("n", 3), build("s", 3))
