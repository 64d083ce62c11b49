"""What a component leaves for the pipeline's pages: where the result is, its figures, and a page of its pictures."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from yolocore.component.handover import Stored
from yolocore.records import FILE_NAME, Record
from yolocore.views.report import page, summary


def leave(out: Path, record: Record, *, result: Any, metrics: Any, report: Any) -> None:
    """Tell of a finished step, whose folder is at `out`, on standard output and through the component's artifacts."""
    stored = Stored.find(out)
    print("\n".join(summary(out, record)))
    result.metadata.update(key=record.key, **{name: made.digest for name, made in record.artifacts.items()})
    if stored:
        print(f"  in the object store: {stored.uri}")
        result.metadata.update(digest=stored.digest, uri=stored.uri)
    for name, value in record.metrics.items():
        if math.isfinite(value):
            metrics.log_metric(name, value)
    # Without a file behind it the orchestrator would never find this task in its cache.
    shutil.copyfile(out / FILE_NAME, metrics.path)
    elsewhere = [("object store", stored.uri)] if stored else []
    Path(report.path).write_text(page(record.step, [(out, record)], elsewhere), encoding="utf-8")
