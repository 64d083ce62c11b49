"""The moving average against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from yolocore.train.ema import Ema, decay


@pytest.mark.parametrize(
    ("updates", "kept"),
    [
        pytest.param(1, 0.0005, id="at first next to nothing of the random start"),
        pytest.param(2000, 0.9999 * (1 - math.exp(-1)), id="after the ramp's length"),
        pytest.param(10**6, 0.9999, id="at last"),
    ],
)
def test_decay(updates: int, kept: float) -> None:
    assert decay(updates) == pytest.approx(kept, rel=1e-3)


def test_average_of_parameters_and_statistics() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    ema = Ema(model)
    expected = {k: v.clone() for k, v in model.state_dict().items()}
    for update in range(1, 6):
        model(torch.randn(2, 3, 8, 8))  # moves the statistics
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ema.update()
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                expected[key] = decay(update) * expected[key] + (1 - decay(update)) * value
    for key, value in ema.model.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, expected[key], atol=1e-5), key
    assert not ema.model.training
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
