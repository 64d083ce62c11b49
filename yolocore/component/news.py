"""Whether a training has brought anything that is not in production already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolocore.component.verdict import attempt
from yolocore.lineage import registry
from yolocore.records import TrainRecord
from yolocore.store import ObjectStore

CHANGED, SAME = "changed", "same"


def news(*, checkpoint: Any, report: Any, name: str) -> str:
    """CHANGED, or SAME if the champion of that name was exported from this very checkpoint.

    The same data, settings and program end in the same checkpoint, so nothing but its digest has to be compared.
    checkpoint: artifact of a train step. report: where the line that says so is left, in Markdown. A failure ends the
    process with one line and the error's exit code.
    """
    found = CHANGED

    def work(_: ObjectStore | None) -> None:
        nonlocal found
        trained = TrainRecord.load(Path(checkpoint.path)).artifacts["best"].digest
        champion = registry.champion(registry.registry(), name)
        if champion.get(registry.CHECKPOINT) == trained:
            found = SAME
        line = f"{trained} {'is what the champion was made from' if found == SAME else 'is new'}"
        Path(report.path).write_text(f"{line}\n", encoding="utf-8")
        print(line)

    attempt("news", report.uri, work)
    return found
