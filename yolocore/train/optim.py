"""Which optimiser, with which rates, on which parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from yolocore.config.tree import TrainConfig

# Below so many updates of the nominal batch, AdamW is the better choice of `auto`.
SHORT_RUN = 10_000
GROUPS = ("weights", "norms", "biases")


@dataclass(frozen=True)
class Rule:
    """An optimiser's name and the rates that its schedule works with."""

    name: str
    lr: float
    momentum: float
    warmup_bias_lr: float


def choose_rule(config: TrainConfig, images: int, classes: int) -> Rule:
    """What the config asks for; `auto` decides by the length of the training and the number of classes."""
    if config.optimizer == "SGD":
        return Rule("SGD", config.lr0, config.momentum, config.warmup_bias_lr)
    if config.optimizer == "AdamW":
        # Adam's steps are as long as its rate, whatever the gradient: biases must not start high.
        return Rule("AdamW", config.lr0, config.momentum, 0.0)
    updates = math.ceil(images / max(config.batch, config.nbs)) * config.epochs
    if updates > SHORT_RUN:
        return Rule("SGD", 0.01, 0.9, 0.0)
    return Rule("AdamW", round(0.002 * 5 / (4 + classes), 6), 0.9, 0.0)


def build_optimizer(model: nn.Module, rule: Rule, weight_decay: float) -> Optimizer:
    """The optimiser with a parameter group for each of GROUPS. Only the first, the weights of
    convolutions, decays."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    biases = [parameter for name, parameter in trained if name.endswith("bias")]
    weights = [parameter for name, parameter in trained if parameter.ndim > 1]
    norms = [parameter for name, parameter in trained if parameter.ndim == 1 and not name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0},
    ]
    if rule.name == "SGD":
        return SGD(groups, lr=rule.lr, momentum=rule.momentum, nesterov=True, fused=True)
    return AdamW(groups, lr=rule.lr, betas=(rule.momentum, 0.999), fused=True)
