"""The choice of optimiser, and what decays."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.config.tree import Optimizer
from yolocore.model.yolo11 import build
from yolocore.train.optim import GROUPS, SHORT_RUN, Rule, build_optimizer, choose_rule

NAMES = [name for name in get_args(Optimizer) if name != "auto"]


@pytest.mark.parametrize(
    ("settings", "images", "classes", "rule"),
    [
        pytest.param({"epochs": 30}, 205, 3, Rule("AdamW", 0.001429, 0.9, 0.0, 16), id="short: AdamW by the classes"),
        pytest.param({"epochs": 30}, 205, 80, Rule("AdamW", 0.000119, 0.9, 0.0, 16), id="short, 80 classes"),
        pytest.param({"epochs": 30}, 205, 1, Rule("AdamW", 0.002, 0.9, 0.0, 16), id="short, one class"),
        pytest.param(
            {"epochs": 600, "batch": 128}, 118287, 80, Rule("SGD", 0.01, 0.9, 0.0, 64), id="the public training: SGD"
        ),
        pytest.param(
            {"epochs": SHORT_RUN}, 64, 1, Rule("AdamW", 0.002, 0.9, 0.0, 16), id="the longest run that is short"
        ),
        pytest.param({"epochs": SHORT_RUN}, 65, 1, Rule("SGD", 0.01, 0.9, 0.0, 64), id="an update an epoch more"),
        pytest.param(
            {"epochs": SHORT_RUN, "batch": 128},
            128,
            1,
            Rule("AdamW", 0.002, 0.9, 0.0, 64),
            id="a batch above nbs counts",
        ),
        pytest.param(
            {"epochs": SHORT_RUN, "nbs": 32},
            64,
            1,
            Rule("SGD", 0.01, 0.9, 0.0, 32),
            id="a smaller nominal batch counts",
        ),
        pytest.param(
            {"epochs": 30, "lr0": 0.5, "momentum": 0.1, "warmup_bias_lr": 0.2},
            205,
            1,
            Rule("AdamW", 0.002, 0.9, 0.0, 16),
            id="what is given for other optimisers does not matter",
        ),
    ],
)
def test_auto(settings: dict, images: int, classes: int, rule: Rule) -> None:
    assert choose_rule(TrainConfig(**settings), images, classes) == rule


@pytest.mark.parametrize("images", [205, 10**7])
@pytest.mark.parametrize("name", NAMES)
def test_a_named_one_is_as_the_config_says(name: str, images: int) -> None:
    """However long the run is. Only SGD's biases start high: the others' steps are as long as their rate."""
    config = TrainConfig.model_validate({"optimizer": name, "lr0": 0.02, "momentum": 0.8, "warmup_bias_lr": 0.07})
    assert choose_rule(config, images, 3) == Rule(name, 0.02, 0.8, 0.07 if name == "SGD" else 0.0, config.nbs)


@pytest.mark.parametrize("name", NAMES)
def test_groups_of_yolo11n(name: str) -> None:
    model = build("n", 80)
    optimizer = build_optimizer(model, Rule(name, 0.01, 0.9, 0.0, 64), weight_decay=0.0005)
    assert type(optimizer).__name__.lower() == name.lower()
    assert len(optimizer.param_groups) == len(GROUPS)
    assert [len(group["params"]) for group in optimizer.param_groups] == [88 - 1, 81, 87]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0005, 0, 0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.01] * 3
    for group in optimizer.param_groups:
        assert (group["momentum"] if "momentum" in group else group["betas"][0]) == 0.9
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert id(model.get_parameter("model.23.dfl.conv.weight")) not in held


def test_frozen_parameters_stay_out() -> None:
    model = build("n", 2)
    model.model[:10].requires_grad_(False)
    optimizer = build_optimizer(model, Rule("SGD", 0.01, 0.9, 0.0, 64), weight_decay=0.0005)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", NAMES)
def test_steps_go_downhill(name: str, momentum: float) -> None:
    """With any momentum that the config permits; and what has no gradient shrinks only where it decays."""
    layer = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.ones_(layer.bias)  # type: ignore[arg-type]
    optimizer = build_optimizer(layer, Rule(name, 0.01, momentum, 0.0, 64), weight_decay=0.5)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert layer.weight.item() < 1 and layer.bias.item() == 1  # type: ignore[union-attr]
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert layer.bias.item() < 1  # type: ignore[union-attr]
