"""The Python door: `YOLO("best.pt").val(data="runs/ingest")`.

Every method is one mode with its keys, and returns the step's record with the folder that it lies in.
Pictures in memory are the exception: `predict` takes arrays too, and then writes and records nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocore.modes import run
from yolocore.modes.request import read_request
from yolocore.views.live import live

if TYPE_CHECKING:
    from yolocore.detections import Classification, Detections
    from yolocore.draw import Image
    from yolocore.records import Record
    from yolocore.runtimes.detector import Detector


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


class Predictions(list["Detections | Classification"]):
    """What each image or video frame shows: a `Classification` by a model for classify, else `Detections`.

    result: the step that looked; None for arrays. What it wrote down is what is here: masks of a step are those
    inside the outlines of its `predictions.jsonl`.
    """

    def __init__(self, found: Iterable[Detections | Classification], result: Result | None = None) -> None:
        super().__init__(found)
        self.result = result


class YOLO:
    """A model and its modes. Unknown keys and wrong values raise UsageError before anything runs.

    model: a checkpoint, an exported model, `triton://host:port/name`, or an architecture such as `yolo11n-seg`.
    """

    def __init__(self, model: str | Path = "yolo11n") -> None:
        self.model = str(model)
        self._opened: dict[tuple[str, str, bool], Detector] = {}

    def __repr__(self) -> str:
        return f"YOLO({self.model!r})"

    def train(self, data: str | Path, **keys: Any) -> Result:
        """Train, and go on with the best weights as `self.model`."""
        result = self._run("train", data=data, **keys)
        self.model = str(result.path("best"))
        return result

    def val(self, data: str | Path, **keys: Any) -> Result:
        return self._run("val", data=data, **keys)

    def predict(self, source: str | Path | Image | Sequence[Image], **keys: Any) -> Predictions:
        """Look at whatever a path, glob or URL stands for, or at arrays: u8 (h, w, 3) BGR, one or several."""
        if isinstance(source, str | Path):
            from yolocore.predict.rows import read_row

            result = self._run("predict", source=source, **keys)
            rows = result.path("predictions").read_text(encoding="utf-8").splitlines()
            return Predictions(map(read_row, rows), result)
        import numpy as np

        from yolocore.config import PredictConfig
        from yolocore.predict import look
        from yolocore.runtimes.detector import check_task

        config = read_request("predict", {"model": self.model, "source": "", **keys}).config
        assert isinstance(config, PredictConfig)
        images = [source] if isinstance(source, np.ndarray) else source
        detector = self._detector(config.device, config.half)
        check_task(self.model, detector.meta, config.task)
        return Predictions(look(detector, images, config))

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

    def _detector(self, device: str, half: bool) -> Detector:
        """Kept from call to call: opening a model takes longer than looking at a picture."""
        key = (self.model, device, half)
        if key not in self._opened:
            from yolocore.runtimes.detector import open_detector

            self._opened = {key: open_detector(self.model, device, half)}
        return self._opened[key]
