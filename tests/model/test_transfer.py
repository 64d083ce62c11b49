"""Which tensors a model takes over from another one."""

import pytest
import torch

from yolocore.errors import ModelError
from yolocore.model.transfer import transfer
from yolocore.model.yolo11 import build


@pytest.mark.parametrize(
    ("scale", "classes", "fresh"),
    [
        pytest.param("n", (80, 80), None, id="the same classes: everything"),
        # Of the nano size's class branch, only what works on the neck's channels has the same width.
        pytest.param("n", (80, 3), "model.23.cv3.", id="other classes in n: a fresh class branch"),
        pytest.param("s", (80, 3), "model.23.cv3.*.2.", id="other classes in s: a fresh last layer"),
    ],
)
def test_copies_what_fits(scale, classes, fresh):
    source, target = build(scale, classes[0]), build(scale, classes[1])
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


def test_refuses_another_size():
    with pytest.raises(ModelError, match="a yolo11n cannot start from weights of a yolo11s"):
        transfer(build("n", 3), build("s", 3))
