"""The door for pipeline components: keys and artifacts in, a step, and what the pipeline's pages show out.

Artifacts are whatever has a `path`, a `uri` and `metadata`, so this room needs no orchestrator. Where an object store
is configured, what steps make for one another passes through it by digest (`handover`), and what no retry can mend is
not tried again (`verdict`).
"""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from yolocore.component.handover import brought_here, hand_over
from yolocore.component.verdict import judged
from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.records import FILE_NAME
from yolocore.store import ObjectStore
from yolocore.views.ending import told
from yolocore.views.live import live
from yolocore.views.report import page, summary


def perform(mode: str, *, result: Any, metrics: Any, report: Any, **keys: Any) -> None:
    """Run a mode with its keys and leave its folder at `result`, its figures in `metrics`, its page in `report`.

    A failure ends the process with one line and the error's exit code, as it does on the command line.
    """

    def work(store: ObjectStore | None) -> None:
        request = read_request(mode, {**keys, "out": result.path})
        with live() as listener:
            request = replace(request, inputs=brought_here(store, request.inputs, listener))
            record = run(request, listener)
            stored = hand_over(store, request.out, record, listener) if store else None
        print("\n".join(summary(request.out, record)))
        result.metadata.update(key=record.key, **{name: made.digest for name, made in record.artifacts.items()})
        if stored:
            print(f"  in the object store: {stored.uri}")
            result.metadata.update(digest=stored.digest, uri=stored.uri)
        for name, value in record.metrics.items():
            if math.isfinite(value):
                metrics.log_metric(name, value)
        # Without a file behind it the orchestrator would never find this task in its cache.
        shutil.copyfile(request.out / FILE_NAME, metrics.path)
        elsewhere = [("object store", stored.uri)] if stored else []
        Path(report.path).write_text(page(mode, [(request.out, record)], elsewhere), encoding="utf-8")

    code = told(judged(f"yolo {mode}", result.uri, work))
    if code:
        sys.exit(code)
