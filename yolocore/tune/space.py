"""The range in which each setting of training is searched: where values have been of use, not where they are legal."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.distributions import FloatDistribution

from yolocore.errors import UsageError


def _between(low: float, high: float) -> FloatDistribution:
    return FloatDistribution(low, high)


def _orders(low: float, high: float) -> FloatDistribution:
    """Rates and gains matter by their order of magnitude."""
    return FloatDistribution(low, high, log=True)


SPACE: dict[str, FloatDistribution] = {
    "lr0": _orders(1e-5, 1e-1),
    "lrf": _orders(1e-4, 1.0),
    "momentum": _between(0.6, 0.98),
    "weight_decay": _orders(1e-6, 1e-2),
    "warmup_epochs": _between(0.0, 5.0),
    "warmup_momentum": _between(0.0, 0.95),
    "box": _orders(1.0, 20.0),
    "cls": _orders(0.1, 4.0),
    "dfl": _orders(0.4, 6.0),
    "pose": _orders(3.0, 40.0),
    "cls_pw": _between(0.0, 1.0),
    "hsv_h": _between(0.0, 0.1),
    "hsv_s": _between(0.0, 0.9),
    "hsv_v": _between(0.0, 0.9),
    "degrees": _between(0.0, 45.0),
    "translate": _between(0.0, 0.5),
    "scale": _between(0.0, 0.95),
    "shear": _between(0.0, 10.0),
    "perspective": _between(0.0, 0.001),
    "flipud": _between(0.0, 1.0),
    "fliplr": _between(0.0, 1.0),
    "mosaic": _between(0.0, 1.0),
    "mixup": _between(0.0, 1.0),
    "copy_paste": _between(0.0, 1.0),
    "erasing": _between(0.0, 0.9),
}


def check_search(search: Sequence[str]) -> dict[str, FloatDistribution]:
    """The ranges of the settings that are searched. Raises UsageError for a setting without one."""
    for name in search:
        if name not in SPACE:
            raise UsageError(f"search={name}: cannot be searched; there are {', '.join(SPACE)}")
    return {name: SPACE[name] for name in search}
