"""Which optimiser, with which rates, on which parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.optim import SGD, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

from yolocore.config.tree import TrainConfig

# Up to so many updates of the nominal batch, `auto` takes AdamW, and every batch for an update: a short training
# lacks updates more than it lacks smooth gradients (205 images from scratch, 20 epochs: mAP50-95 0.52 against 0.32).
SHORT_RUN = 10_000
GROUPS = ("weights", "norms", "biases")


@dataclass(frozen=True)
class Rule:
    """An optimiser's name, the rates that its schedule works with, and the images of an update that it aims at."""

    name: str
    lr: float
    momentum: float
    warmup_bias_lr: float
    nominal_batch: int


def choose_rule(config: TrainConfig, images: int, classes: int) -> Rule:
    """What the config asks for; `auto` decides by the length of the training and the number of classes."""
    if config.optimizer == "auto":
        updates = math.ceil(images / max(config.batch, config.nbs)) * config.epochs
        if updates > SHORT_RUN:
            return Rule("SGD", 0.01, 0.9, 0.0, config.nbs)
        return Rule("AdamW", round(0.002 * 5 / (4 + classes), 6), 0.9, 0.0, min(config.batch, config.nbs))
    # All but SGD's steps are as long as their rate, whatever the gradient: biases must not start high.
    bias_rate = config.warmup_bias_lr if config.optimizer == "SGD" else 0.0
    return Rule(config.optimizer, config.lr0, config.momentum, bias_rate, config.nbs)


def build_optimizer(model: nn.Module, rule: Rule, weight_decay: float) -> Optimizer:
    """The optimiser with a parameter group for each of GROUPS. Only the first, the weights of
    convolutions and linear layers, decays. Parameters that need no gradient stay out."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    biases = [parameter for name, parameter in trained if name.endswith("bias")]
    weights = [parameter for name, parameter in trained if parameter.ndim > 1]
    norms = [parameter for name, parameter in trained if parameter.ndim == 1 and not name.endswith("bias")]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0},
    ]
    betas = (rule.momentum, 0.999)
    match rule.name:
        case "SGD":
            return SGD(groups, lr=rule.lr, momentum=rule.momentum, nesterov=rule.momentum > 0, fused=True)
        case "Adam":
            return Adam(groups, lr=rule.lr, betas=betas, fused=True)
        case "AdamW":
            return AdamW(groups, lr=rule.lr, betas=betas, fused=True)
        case "Adamax":
            return Adamax(groups, lr=rule.lr, betas=betas, foreach=True)
        case "NAdam":
            return NAdam(groups, lr=rule.lr, betas=betas, foreach=True)
        case "RAdam":
            return RAdam(groups, lr=rule.lr, betas=betas, foreach=True)
        case "RMSProp":
            return RMSprop(groups, lr=rule.lr, momentum=rule.momentum, foreach=True)
    raise ValueError(rule.name)
