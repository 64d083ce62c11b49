"""The range in which each setting of training is searched: where values have been of use, not where they are legal."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import FloatDistribution

from yolocore.config import TuneConfig
from yolocore.errors import UsageError
from yolocore.meta import TASKS, Task


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
    "kobj": _orders(0.2, 5.0),
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
    "crop": _orders(0.05, 1.0),
    "erasing": _between(0.0, 0.9),
    "dropout": _between(0.0, 0.5),
}

_OBJECTS = tuple(task for task in TASKS if task != "classify")
# The tasks in whose training a setting plays a part, where these are not all.
_TASKS: dict[str, tuple[Task, ...]] = {
    **dict.fromkeys(("box", "cls", "dfl", "mosaic", "mixup"), _OBJECTS),
    **dict.fromkeys(("degrees", "translate", "scale", "shear", "perspective"), _OBJECTS),
    **dict.fromkeys(("pose", "kobj"), ("pose",)),
    "copy_paste": ("segment",),
    **dict.fromkeys(("crop", "erasing", "dropout"), ("classify",)),
}

_ALWAYS = ("lr0", "momentum", "weight_decay", "warmup_epochs", "hsv_s", "hsv_v")
_OBJECTS_DEFAULT = (*_ALWAYS, "box", "cls", "dfl", "translate", "scale")
DEFAULT: dict[Task, tuple[str, ...]] = {
    **dict.fromkeys(TASKS, _OBJECTS_DEFAULT),
    "pose": (*_OBJECTS_DEFAULT, "pose", "kobj"),
    "classify": (*_ALWAYS, "hsv_h", "crop", "erasing", "dropout"),
}


def ranges(config: TuneConfig, task: Task) -> dict[str, FloatDistribution]:
    """The range of each setting that is searched: those that are named, or else the task's own.

    Raises UsageError for a setting that has no range, plays no part in the task, or would be ignored.
    """
    names = DEFAULT[task] if config.search is None else config.search
    for name in names:
        if name not in SPACE:
            raise UsageError(f"search={name}: cannot be searched; there are {', '.join(_of(task))}")
        if task not in _TASKS.get(name, TASKS):
            raise UsageError(f"search={name}: does nothing for task={task}; there are {', '.join(_of(task))}")
    if config.optimizer == "auto" and {"lr0", "momentum"} & set(names):
        raise UsageError("optimizer=auto: ignores lr0 and momentum, which are searched; name an optimizer")
    return {name: SPACE[name] for name in names}


def first_values(config: TuneConfig, reach: Mapping[str, FloatDistribution]) -> dict[str, float]:
    """The given values of the settings that are searched. Raises UsageError for one outside its range."""
    values = {name: float(getattr(config, name)) for name in reach}
    for name, value in values.items():
        low, high = reach[name].low, reach[name].high
        if not low <= value <= high:
            raise UsageError(
                f"{name}={value:g}: is searched from {low:g} to {high:g}; give a value of these, "
                "or leave it out of search="
            )
    return values


def _of(task: Task) -> list[str]:
    return [name for name in SPACE if task in _TASKS.get(name, TASKS)]
