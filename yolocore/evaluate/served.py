"""A served model's accuracy: under the limits of score, overlap and rows that are built into it, or stricter ones.

It is lower than what `val` finds at a score limit near zero, and no substitute for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from yolocore.config import ValConfig
from yolocore.data.dataset import Split
from yolocore.detections import Classification, Detections
from yolocore.errors import DataError
from yolocore.evaluate.classes import known_labels
from yolocore.evaluate.loop import detect_split
from yolocore.evaluate.metrics import DetectionMetrics, measure_detections
from yolocore.nms import suppress
from yolocore.progress import SILENT, Listener
from yolocore.runtimes.detector import Detector
from yolocore.runtimes.served import ServingInfo


class Limits(NamedTuple):
    """conf: lowest score. iou: overlap above which the lower-scored box is dropped. max_det: boxes of an image."""

    conf: float
    iou: float
    max_det: int

    @classmethod
    def of(cls, infos: Sequence[ServingInfo]) -> Limits:
        """The strictest of what is built into several models."""
        return cls(
            max(info.conf for info in infos), min(info.iou for info in infos), min(info.max_det for info in infos)
        )


def evaluate_served(
    detector: Detector, split: Split, info: ServingInfo, listener: Listener = SILENT, limits: Limits | None = None
) -> DetectionMetrics:
    """mAP as clients get it: square canvas, best class of each box.

    info: what is built into the model. limits: none that are looser; None: the same.
    Raises DataError for a split without labelled objects, and as `known_labels` and `detect_split` do.
    """
    limits = limits or Limits.of([info])
    labels = known_labels(split, detector.meta.names)
    if not any(map(len, labels)):
        raise DataError("the split has no labelled objects, so nothing can be verified on it; choose another split=")
    built_in = ValConfig(conf=limits.conf, iou=info.iou, max_det=info.max_det, rect=False)
    found = detect_split(detector, split, built_in, listener, multi_label=False)
    left = [_within(each, info, limits) for each in found]
    return measure_detections(left, labels, detector.meta.names, limits.max_det)


def _within(found: Detections | Classification, info: ServingInfo, limits: Limits) -> Detections:
    """What is left of an answer, which has the best box first."""
    assert isinstance(found, Detections)
    if limits.iou < info.iou:
        return found[suppress(found.boxes, found.classes, limits.iou, limits.max_det)]
    return found[: limits.max_det]
