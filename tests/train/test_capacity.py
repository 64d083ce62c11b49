"""The batch that memory holds: a round number, never more than there are images, and less where less is free."""

from __future__ import annotations

import pytest
import torch

from yolocore.model.yolo11 import build
from yolocore.train import capacity


@pytest.mark.parametrize(
    ("count", "images", "expected"),
    [
        pytest.param(1, 100, 1, id="one"),
        pytest.param(-5, 100, 1, id="nothing fits: one is tried"),
        pytest.param(17, 100, 16, id="between"),
        pytest.param(25, 100, 24, id="one and a half times a power"),
        pytest.param(10_000, 20, 16, id="few images"),
        pytest.param(10_000, 10_000, 1024, id="the most"),
    ],
)
def test_rounding(count: int, images: int, expected: int) -> None:
    assert capacity.round_down(count, images) == expected


@pytest.mark.slow
def test_twice_the_memory_holds_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("n", 2).to(memory_format=torch.channels_last).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    # An earlier step of this process leaves freed memory behind, which must not pass for memory not needed.
    torch.stack([raw.square().mean() for raw in model.raw(torch.zeros(16, 3, 320, 320))]).sum().backward()
    model.load_state_dict(before)
    found = []
    for gigabytes in (1, 8):
        monkeypatch.setattr(capacity, "free_memory", lambda g=gigabytes: g << 30)
        found.append(capacity.largest_batch(model, 160, None, 100_000))
    assert 2 <= found[0] < found[1] <= capacity.MOST
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
