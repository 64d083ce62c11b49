"""The door for pipeline components: keys and artifacts in, a step, and what the pipeline's pages show out.

Artifacts are whatever has a `path`, so this module needs no orchestrator.
"""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Any

from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.records import FILE_NAME
from yolocore.views.ending import exit_code
from yolocore.views.live import live
from yolocore.views.report import page, summary


def perform(mode: str, *, result: Any, metrics: Any, report: Any, **keys: Any) -> None:
    """Run a mode with its keys and leave its folder at `result`, its figures in `metrics`, its page in `report`.

    A failure ends the process with one line and the error's exit code, as it does on the command line.
    """

    def act() -> None:
        request = read_request(mode, {**keys, "out": result.path})
        with live() as listener:
            record = run(request, listener)
        print("\n".join(summary(request.out, record)))
        result.metadata.update(key=record.key, **{name: made.digest for name, made in record.artifacts.items()})
        for name, value in record.metrics.items():
            if math.isfinite(value):
                metrics.log_metric(name, value)
        # Without a file behind it the orchestrator would never find this task in its cache.
        shutil.copyfile(request.out / FILE_NAME, metrics.path)
        Path(report.path).write_text(page(mode, [(request.out, record)]), encoding="utf-8")

    code = exit_code(f"yolo {mode}", act)
    if code:
        sys.exit(code)
