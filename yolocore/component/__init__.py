"""The door for pipeline components: keys and artifacts in, a step, and what the pipeline's pages show out.

Artifacts are whatever has a `path`, a `uri` and `metadata`, so this room needs no orchestrator. Where an object store
is configured, what steps make for one another passes through it by digest (`handover`), and what no retry can mend is
not tried again (`verdict`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from yolocore.component.handover import brought_here, hand_over
from yolocore.component.outputs import leave
from yolocore.component.verdict import attempt
from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.records import CONFUSION
from yolocore.store import ObjectStore
from yolocore.views.live import live


def perform(mode: str, *, result: Any, metrics: Any, report: Any, confusion: Any = None, **keys: Any) -> None:
    """Run a mode with its keys and leave its folder at `result`, its figures in `metrics`, its page in `report`.

    confusion: of a mode that measures classes, what its confusion matrix and its ROC curve are logged to.

    A failure ends the process with one line and the error's exit code, as it does on the command line.
    """

    def work(store: ObjectStore | None) -> None:
        request = read_request(mode, {**keys, "out": result.path})
        with live() as listener:
            request = replace(request, inputs=brought_here(store, request.inputs, listener))
            record = run(request, listener)
            if store:
                hand_over(store, request.out, record, listener)
        leave(request.out, record, result=result, metrics=metrics, report=report)
        if confusion is not None:
            counted = json.loads((request.out / CONFUSION).read_bytes())
            confusion.log_confusion_matrix(counted["classes"], counted["matrix"])
            for point in counted["roc"]:
                confusion.log_roc_data_point(*point)

    attempt(f"yolo {mode}", result.uri, work)
