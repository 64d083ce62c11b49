"""The last word of a pipeline run, whatever became of it: which steps ran, how they ended, what they measured.

Of a task that fails, an orchestrator keeps no artifact. So the record and its page are written before anybody is asked
anything, and an MLflow that cannot be used is a line of them, not their end. Nor is there a verdict, for which the
object store would have to answer first: nothing is left that fails for good.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from yolocore.errors import YoloError
from yolocore.lineage.pipeline import TrackedStep, close
from yolocore.store import write_atomic
from yolocore.views.ending import exit_code

SHOWN = ("map50_95", "map50", "top1", "map50_95_drop", "delta")  # a step's own figures stand in its own report

# What a table of steps does not say of itself.
_TOLD = "Steps as MLflow knows them: those that Kubeflow took from its cache, or that nothing tracks, are not there."
_NONE = "MLflow knows of none; those that Kubeflow took from its cache, or that nothing tracks, it never hears of."


class PipelineRecord(BaseModel):
    """pipeline: identity of the run. state: SUCCEEDED, FAILED or CANCELLED, as Kubeflow says. error: its text.

    commit: what it was started for; empty: nothing of the kind. steps: those that MLflow knows of; untold: why it could
    not be asked, or its run not be ended; empty: it was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipeline: str
    state: str
    error: str
    commit: str
    steps: tuple[TrackedStep, ...] = ()
    untold: str = ""


def conclude(*, state: str, error: str, commit: str, record: Any, report: Any) -> None:
    """Write the run's record as JSON to `record.path` and as a page in Markdown to `report.path`; end it in MLflow.

    An MLflow that cannot be used is a line in both, and on standard error. A failure to write them ends the process
    with one line and the error's exit code.
    """

    def act() -> None:
        pipeline = os.environ.get("YOLO_PIPELINE", "")
        known = PipelineRecord(pipeline=pipeline, state=state, error=error, commit=commit)
        leave(known.model_copy(update={"untold": "MLflow was not asked yet"}))
        steps, untold = _ended(pipeline, state == "SUCCEEDED")
        leave(known.model_copy(update={"steps": steps, "untold": untold}))
        if untold:
            print(f"conclude: {untold}", file=sys.stderr)

    def leave(concluded: PipelineRecord) -> None:
        write_atomic(Path(record.path), concluded.model_dump_json(indent=2) + "\n")
        write_atomic(Path(report.path), _page(concluded))
        record.metadata.update(state=state, steps=len(concluded.steps))

    code = exit_code("conclude", act)
    if code:
        sys.exit(code)


def _ended(pipeline: str, succeeded: bool) -> tuple[tuple[TrackedStep, ...], str]:
    """The steps of the run, which is ended in MLflow; and why it could not be."""
    try:
        return (close(pipeline, succeeded) if pipeline else ()), ""
    except YoloError as error:
        return (), str(error)


def _page(record: PipelineRecord) -> str:
    lines = [f"# {record.state}", "", *([record.error, ""] if record.error else [])]
    if not record.steps:
        return "\n".join([*lines, f"No steps are told of here: {record.untold or _NONE}"]) + "\n"
    lines += ["| step | ended | figures |", "|---|---|---|"]
    for step in record.steps:
        figures = ", ".join(f"{name} {step.metrics[name]:.4g}" for name in SHOWN if name in step.metrics)
        lines.append(f"| {step.mode} | {step.status} | {figures} |")
    return "\n".join([*lines, "", _TOLD]) + "\n"
