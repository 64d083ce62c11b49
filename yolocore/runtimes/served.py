"""What a served model is, wherever it runs, and `ServedGraph`: the very graph that a server runs, in this process.

The served model has its lowest score, its overlap threshold and its number of rows built in. A caller may ask for
less of what comes back, never for what the model has already dropped: that is refused and not quietly ignored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from yolocore.detections import Classification, Detections
from yolocore.errors import ModelError, UsageError
from yolocore.meta import ModelMeta
from yolocore.runtimes.detector import Timings

OUTPUTS = ("boxes", "scores", "classes", "count")

Answer = Mapping[str, npt.NDArray[Any]]  # OUTPUTS by name, of one image


class ServingInfo(BaseModel):
    """What a served model says about itself besides its tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    meta: ModelMeta
    conf: float = Field(description="lowest score in an answer")
    iou: float = Field(description="overlap above which suppression dropped the lower-scored box")
    max_det: int = Field(description="rows of an answer")


class ServedGraph:
    """`Detector` for the serving model that `export` wrote, on ONNX Runtime: what the server does, without one.

    path: the file. conf, iou, max_det: what was built into it. device: as `OnnxRuntime`'s.
    Raises ModelError for a file that is no such model, UsageError for a device that isn't there.
    """

    def __init__(self, path: Path, conf: float, iou: float, max_det: int, device: str = "auto") -> None:
        from yolocore.runtimes.onnx import open_session, read_meta

        self._path = path
        self._session = open_session(path, device)
        tensors = [each.name for each in (*self._session.get_inputs(), *self._session.get_outputs())]
        if tensors != ["image", *OUTPUTS]:
            raise ModelError(f"{path}: is no serving model (image → {', '.join(OUTPUTS)}); export the model again")
        self.meta = read_meta(self._session, path)
        self.info = ServingInfo(meta=self.meta, conf=conf, iou=iou, max_det=max_det)
        self.timings = Timings()

    def detect(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        *,
        conf: float,
        iou: float,
        max_det: int,
        multi_label: bool = False,
        classes: Sequence[int] | None = None,
        agnostic: bool = False,
        imgsz: int | None = None,
        rect: bool = True,
        pad: float = 0.0,
    ) -> list[Detections]:
        """As `TritonDetector.detect`: `multi_label`, `rect` and `pad` are without effect."""
        check_limits(str(self._path), self.info, conf, iou, max_det, agnostic=agnostic, imgsz=imgsz)
        start = time.perf_counter()
        found = []
        for image in images:
            rgb = np.ascontiguousarray(image[None, :, :, ::-1])
            answer = dict(zip(OUTPUTS, self._session.run(list(OUTPUTS), {"image": rgb}), strict=True))
            found.append(detections({name: batch[0] for name, batch in answer.items()}, conf, max_det, classes))
        self.timings.images += len(images)
        self.timings.inference += time.perf_counter() - start
        return found

    def classify(self, images: Sequence[npt.NDArray[np.uint8]], *, imgsz: int | None = None) -> list[Classification]:
        """Raises ModelError: the served graph is one for detect."""
        raise ModelError(f"{self._path}: is a model for {self.meta.task}, which classifies no images")


def check_limits(
    where: str,
    info: ServingInfo,
    conf: float,
    iou: float,
    max_det: int,
    *,
    agnostic: bool = False,
    imgsz: int | None = None,
) -> None:
    """Raises UsageError, about the model called `where`, for a setting that a served model cannot honour."""
    reason = ""
    if conf < info.conf:
        reason = f"conf={conf}: the served model drops scores below {info.conf}; ask for conf>={info.conf}"
    elif iou != info.iou:
        reason = f"iou={iou}: the served model suppresses at {info.iou}; ask for iou={info.iou}"
    elif max_det > info.max_det:
        reason = f"max_det={max_det}: the served model answers with {info.max_det} rows; ask for no more"
    elif imgsz not in (None, info.meta.imgsz):
        reason = f"imgsz={imgsz}: the served model works at {info.meta.imgsz}; leave imgsz out"
    elif agnostic:
        reason = "agnostic_nms=True: the served model suppresses within each class; leave it out"
    if reason:
        raise UsageError(f"{where}: {reason}, or export and deploy the model with other settings")


def detections(answer: Answer, conf: float, max_det: int, classes: Sequence[int] | None) -> Detections:
    """What an answer says, of scores from conf on, of these classes (None: all), at most max_det."""
    n = answer["count"].item()
    found = Detections(answer["boxes"][:n], answer["scores"][:n], answer["classes"][:n].astype(np.int64))
    keep = found.scores >= conf
    if classes is not None:
        keep &= np.isin(found.classes, classes)
    return found[keep][:max_det]
