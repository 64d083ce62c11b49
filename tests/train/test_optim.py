"""The choice of optimiser, and what decays."""

from __future__ import annotations

import pytest

from yolocore.config import TrainConfig
from yolocore.model.yolo11 import build
from yolocore.train.optim import Rule, build_optimizer, choose_rule


@pytest.mark.parametrize(
    ("settings", "images", "classes", "rule"),
    [
        pytest.param({"epochs": 30}, 205, 3, Rule("AdamW", 0.001429, 0.9, 0.0), id="auto, short: AdamW by the classes"),
        pytest.param({"epochs": 30}, 205, 80, Rule("AdamW", 0.000119, 0.9, 0.0), id="auto, short, 80 classes"),
        pytest.param(
            {"epochs": 600, "batch": 128}, 118287, 80, Rule("SGD", 0.01, 0.9, 0.0), id="auto, the public training: SGD"
        ),
        pytest.param(
            {"optimizer": "SGD", "lr0": 0.02}, 205, 3, Rule("SGD", 0.02, 0.937, 0.1), id="SGD as the config says"
        ),
        pytest.param(
            {"optimizer": "AdamW", "lr0": 0.002, "momentum": 0.9},
            205,
            3,
            Rule("AdamW", 0.002, 0.9, 0.0),
            id="AdamW as the config says, biases not high",
        ),
    ],
)
def test_choice(settings: dict, images: int, classes: int, rule: Rule) -> None:
    assert choose_rule(TrainConfig(**settings), images, classes) == rule


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_groups_of_yolo11n(name: str) -> None:
    model = build("n", 80)
    optimizer = build_optimizer(model, Rule(name, 0.01, 0.9, 0.0), weight_decay=0.0005)
    assert [len(group["params"]) for group in optimizer.param_groups] == [88 - 1, 81, 87]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0005, 0, 0]
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert id(model.head.dfl.conv.weight) not in held
