"""Whether a training has brought anything that is not in production already."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from yolocore.lineage import registry
from yolocore.records import TrainRecord
from yolocore.views.ending import exit_code

CHANGED, SAME = "changed", "same"


def news(*, checkpoint: Any, name: str) -> str:
    """CHANGED, or SAME if the champion of that name was exported from this very checkpoint.

    The same data, settings and program end in the same checkpoint, so nothing but its digest has to be compared.
    checkpoint: artifact of a train step. A failure ends the process with one line and the error's exit code.
    """
    found = CHANGED

    def act() -> None:
        nonlocal found
        trained = TrainRecord.load(Path(checkpoint.path)).artifacts["best"].digest
        champion = registry.champion(registry.registry(), name)
        if champion.get(registry.CHECKPOINT) == trained:
            found = SAME
        print(f"{trained} {'is what the champion was made from' if found == SAME else 'is new'}")

    code = exit_code("news", act)
    if code:
        sys.exit(code)
    return found
