"""The last word of a pipeline run, whatever became of it: which steps ran, how they ended, what they measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from yolocore.lineage.pipeline import TrackedStep, close
from yolocore.views.ending import exit_code

SHOWN = ("map50_95", "map50", "top1", "map50_95_drop", "delta")  # a step's own figures stand in its own report


class PipelineRecord(BaseModel):
    """pipeline: identity of the run. state: SUCCEEDED, FAILED or CANCELLED, as Kubeflow says. error: its text.

    commit: what it was started for; empty: nothing of the kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipeline: str
    state: str
    error: str
    commit: str
    steps: tuple[TrackedStep, ...]


def conclude(*, state: str, error: str, commit: str, record: Any, report: Any) -> None:
    """Write the run's record as JSON to `record.path` and as a page in Markdown to `report.path`; end it in MLflow.

    A failure ends the process with one line and the error's exit code.
    """

    def act() -> None:
        pipeline = os.environ.get("YOLO_PIPELINE", "")
        steps = close(pipeline, state == "SUCCEEDED") if pipeline else ()
        concluded = PipelineRecord(pipeline=pipeline, state=state, error=error, commit=commit, steps=steps)
        Path(record.path).write_text(concluded.model_dump_json(indent=2) + "\n", encoding="utf-8")
        Path(report.path).write_text(_page(concluded), encoding="utf-8")
        record.metadata.update(state=state, steps=len(steps))

    code = exit_code("conclude", act)
    if code:
        sys.exit(code)


def _page(record: PipelineRecord) -> str:
    lines = [
        f"# {record.state}",
        "",
        *([record.error, ""] if record.error else []),
        "| step | ended | figures |",
        "|---|---|---|",
    ]
    for step in record.steps:
        figures = ", ".join(f"{name} {step.metrics[name]:.4g}" for name in SHOWN if name in step.metrics)
        lines.append(f"| {step.mode} | {step.status} | {figures} |")
    return "\n".join(lines) + "\n"
