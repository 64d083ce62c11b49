"""The Python door: `YOLO("best.pt").val(data="runs/ingest")`.

Every method is one mode with its keys, and returns the step's record with the folder that it lies in.
Pictures in memory are the exception: `predict` takes arrays too, and then writes and records nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.views.live import live

if TYPE_CHECKING:
    from yolocore.records import Record


@dataclass(frozen=True)
class Result:
    """A finished step: its record, and the folder that holds what it made."""

    record: Record
    folder: Path

    @property
    def metrics(self) -> dict[str, float]:
        return self.record.metrics

    def path(self, artifact: str) -> Path:
        """Where an artifact lies: `result.path("best")`. Raises KeyError for a name that the record doesn't have."""
        return self.folder / self.record.artifacts[artifact].path


class YOLO:
    """A model and its modes. Unknown keys and wrong values raise UsageError before anything runs.

    model: a checkpoint, an exported model, `triton://host:port/name`, or an architecture such as `yolo11n`.
    """

    def __init__(self, model: str | Path = "yolo11n") -> None:
        self.model = str(model)

    def __repr__(self) -> str:
        return f"YOLO({self.model!r})"

    def train(self, data: str | Path, **keys: Any) -> Result:
        """Train, and go on with the best weights as `self.model`."""
        result = self._run("train", data=data, **keys)
        self.model = str(result.path("best"))
        return result

    def val(self, data: str | Path, **keys: Any) -> Result:
        return self._run("val", data=data, **keys)

    def predict(self, source: str | Path, **keys: Any) -> Result:
        return self._run("predict", source=source, **keys)

    def export(self, **keys: Any) -> Result:
        return self._run("export", **keys)

    def benchmark(self, data: str | Path, **keys: Any) -> Result:
        return self._run("benchmark", data=data, **keys)

    def track(self, source: str | Path, **keys: Any) -> Result:
        return self._run("track", source=source, **keys)

    def _run(self, mode: str, **keys: Any) -> Result:
        request = read_request(mode, {"model": self.model, **keys})
        with live() as listener:
            return Result(run(request, listener), request.out)
