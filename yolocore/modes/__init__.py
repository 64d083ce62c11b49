"""The modes: one pure function each, from typed settings and inputs to a record.

`run` is the call that all doors share. It imports only the mode that is asked for, so that no mode pays
for another one's libraries, and tracks the step in MLflow.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yolocore.modes.request import Request
    from yolocore.progress import Listener
    from yolocore.records import Record


def run(request: Request, listener: Listener | None = None) -> Record:
    """Run one step, or find it finished. Raises the mode's YoloErrors, and ServiceError when MLflow is unreachable."""
    from yolocore.lineage.runs import track
    from yolocore.progress import SILENT, Listeners

    # OpenMP's threads spin for milliseconds while they wait. On an overloaded machine they hold the cores that the
    # thread they wait for needs. A short spin costs an idle machine nothing that was measurable; sleeping at once
    # cost 40 % of the images per second. Beside other work all three vary severalfold. Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    listener = listener or SILENT
    if os.environ.get("RANK", "0") != "0":  # of several processes of one step, the first speaks for all
        return _mode(request, SILENT)
    with track(
        request.mode, request.config, pipeline=request.pipeline, request=request.identity(), listener=listener
    ) as tracked:
        record = _mode(request, Listeners([listener, tracked]))
        tracked.finish(record, request.out)
    return record


def _mode(request: Request, listener: Listener) -> Record:
    mode = getattr(import_module(f"yolocore.modes.{request.mode}"), request.mode)
    record: Record = mode(request.config, request.inputs, request.out, listener)
    return record
