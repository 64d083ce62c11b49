"""A pipeline's run as MLflow has it: one run that its steps are nested in."""

from __future__ import annotations

from dataclasses import dataclass

from yolocore.lineage.client import available, connect, refusals
from yolocore.lineage.runs import KEY, MODE, PARENT, PIPELINE


@dataclass(frozen=True)
class TrackedStep:
    """What MLflow knows of one step. status: FINISHED, FAILED, KILLED or RUNNING."""

    mode: str
    key: str
    status: str
    metrics: dict[str, float]


def close(pipeline: str, succeeded: bool) -> tuple[TrackedStep, ...]:
    """End the run of a pipeline, whichever of its steps spoke last, and tell of all of them in their order.

    Nothing is told where nothing tracks or no step has begun. Raises ServiceError when MLflow fails.
    """
    if not available():
        return ()
    client, experiment = connect()
    with refusals():
        found = client.search_runs(
            [experiment], f"tags.`{MODE}` = 'pipeline' and tags.`{PIPELINE}` = '{pipeline}'", max_results=1
        )
        if not found:
            return ()
        parent = found[0].info.run_id
        runs = client.search_runs(
            [experiment], f"tags.`{PARENT}` = '{parent}'", order_by=["attributes.start_time ASC"], max_results=1000
        )
        client.set_terminated(parent, "FINISHED" if succeeded else "FAILED")
    return tuple(
        TrackedStep(run.data.tags[MODE], run.data.tags.get(KEY, ""), run.info.status, dict(run.data.metrics))
        for run in runs
    )
