"""Tabulated rates, and laws that hold for every setting."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolocore.config import TrainConfig
from yolocore.train.optim import Rule
from yolocore.train.schedule import Schedule

RULE = Rule("SGD", lr=0.01, momentum=0.937, warmup_bias_lr=0.1, nominal_batch=64)


def schedule(batches: int = 10, **settings) -> Schedule:
    return Schedule(TrainConfig(**settings), RULE, batches)


@pytest.mark.parametrize(
    ("settings", "epoch", "share"),
    [
        pytest.param({"epochs": 100}, 0, 1.0, id="starts at one"),
        pytest.param({"epochs": 100}, 50, 0.505, id="linear: half way"),
        pytest.param({"epochs": 600}, 599, 0.01165, id="the last epoch of the public training"),
        pytest.param({"epochs": 100, "cos_lr": True}, 50, 0.505, id="cosine: half way"),
        pytest.param({"epochs": 100, "cos_lr": True}, 25, 0.8550, id="cosine: a quarter is above the line"),
        pytest.param({"epochs": 1, "lrf": 1.0}, 0, 1.0, id="one epoch"),
    ],
)
def test_decay(settings: dict, epoch: int, share: float) -> None:
    assert schedule(**settings).decay(epoch) == pytest.approx(share, abs=5e-5)


@pytest.mark.parametrize(
    ("batch", "rate", "bias_rate", "momentum"),
    [
        pytest.param(0, 0.0, 0.1, 0.8, id="first batch"),
        pytest.param(15, 0.5 * 0.00901, 0.0545, 0.8685, id="half of the warm-up"),
        pytest.param(30, 0.00703, 0.00703, 0.937, id="warm"),
        pytest.param(99, 0.00109, 0.00109, 0.937, id="last batch"),
    ],
)
def test_warmup(batch: int, rate: float, bias_rate: float, momentum: float) -> None:
    rates = schedule(epochs=10)
    assert rates.warmup == 30
    assert rates.rate(batch) == pytest.approx(rate, rel=2e-2)
    assert rates.bias_rate(batch) == pytest.approx(bias_rate, rel=1e-2)
    assert rates.momentum(batch) == pytest.approx(momentum, rel=1e-6)


@pytest.mark.parametrize(
    ("batch", "momentum"),
    [
        pytest.param(0, 1.0, id="the first batch replaces what there was"),
        pytest.param(36, 0.1, id="about the last quarter"),
        pytest.param(1000, 0.03, id="the network's own"),
    ],
)
def test_norm_momentum(batch: int, momentum: float) -> None:
    assert schedule().norm_momentum(batch, own=0.03) == pytest.approx(momentum)


@pytest.mark.parametrize(
    ("settings", "batches", "epoch", "updates"),
    [
        pytest.param({"batch": 16, "warmup_epochs": 0}, 13, 0, [5, 4, 4], id="no batch left over"),
        pytest.param({"batch": 16}, 13, 0, [2, 2, 2, 2, 1, 1, 1, 1, 1], id="smaller while warming up"),
        pytest.param({"batch": 16}, 13, 50, [5, 4, 4], id="nominal when warm"),
        pytest.param({"batch": 64}, 3, 5, [1, 1, 1], id="a batch is an update"),
        pytest.param({"batch": 128}, 2, 5, [1, 1], id="batches above the nominal"),
        pytest.param({"batch": 16}, 2, 5, [2], id="fewer batches than an update wants"),
    ],
)
def test_updates(settings: dict, batches: int, epoch: int, updates: list[int]) -> None:
    assert schedule(batches, epochs=100, **settings).updates(epoch) == updates


@given(
    batches=st.integers(1, 500),
    epochs=st.integers(1, 300),
    batch=st.integers(1, 300),
    warmup=st.floats(0, 10),
    data=st.data(),
)
def test_every_batch_is_used_once_and_rates_stay_in_range(batches, epochs, batch, warmup, data) -> None:
    rates = schedule(batches, epochs=epochs, batch=batch, warmup_epochs=warmup)
    epoch = data.draw(st.integers(0, epochs - 1))
    updates = rates.updates(epoch)
    assert sum(updates) == batches and min(updates) >= 1
    at = data.draw(st.integers(epoch * batches, (epoch + 1) * batches - 1))
    assert 0 <= rates.rate(at) <= RULE.lr
    assert 0 <= rates.bias_rate(at) <= max(RULE.lr, RULE.warmup_bias_lr)
    assert 0.8 <= rates.momentum(at) <= RULE.momentum


@pytest.mark.parametrize(
    ("batch", "nominal", "share"),
    [
        pytest.param(16, 64, 1.0, id="four batches are the nominal one"),
        pytest.param(24, 64, 72 / 64, id="three are a little more"),
        pytest.param(128, 64, 2.0, id="one is twice as much"),
        pytest.param(16, 16, 1.0, id="every batch is an update"),
    ],
)
def test_weight_decay_grows_with_the_images_of_an_update(batch: int, nominal: int, share: float) -> None:
    found = Schedule(TrainConfig(batch=batch), replace(RULE, nominal_batch=nominal), 10).weight_decay
    assert found == pytest.approx(TrainConfig().weight_decay * share)
