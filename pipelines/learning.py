"""How pipelines train: in the step's own pod, or on several nodes together."""

from __future__ import annotations

from typing import Any

from components.train.component import train
from components.train_together import train_together
from pipelines.form import Settings
from pipelines.kubernetes import NODES, long, step, waiting
from yolocore.component.trainjob import TrainJobInputs
from yolocore.config import Section

# What a form asks for where several nodes train together, and only there.
TOGETHER: dict[str, type[Section]] = {"trainjob": TrainJobInputs} if NODES > 1 else {}


def learned(dataset: Any, settings: Settings) -> Any:
    """The checkpoint that a training makes of a dataset; both are artifacts."""
    start = settings["pipeline"]
    if NODES > 1:
        trained = train_together(dataset=dataset, model=start["model"], **settings["trainjob"], **settings["train"])
        return step(waiting(trained)).outputs["checkpoint"]
    trained = train(dataset=dataset, model=start["model"], **settings["train"])
    return step(long(trained)).outputs["checkpoint"]
