"""How pipelines train: in the step's own pod, or on several nodes together."""

from __future__ import annotations

from typing import Any

from components.train.component import train
from components.train_together import train_together
from pipelines.form import Settings
from pipelines.kubernetes import NODES, long, step, waiting


def learned(dataset: Any, settings: Settings) -> Any:
    """The checkpoint that a training makes of a dataset; both are artifacts."""
    start = settings["pipeline"]
    if NODES > 1:
        trained = train_together(dataset=dataset, model=start["model"], nodes=NODES, **settings["train"])
        return step(waiting(trained)).outputs["checkpoint"]
    trained = train(dataset=dataset, model=start["model"], **settings["train"])
    return step(long(trained)).outputs["checkpoint"]
