"""How good a model is: the one loop over a split, the COCO matching, the figures and their pictures."""

from yolocore.evaluate.loop import check_classes, detect_split, evaluate, known_labels
from yolocore.evaluate.metrics import (
    ClassificationMetrics,
    DetectionMetrics,
    Metrics,
    measure,
    measure_classes,
    measure_detections,
)

__all__ = [
    "ClassificationMetrics",
    "DetectionMetrics",
    "Metrics",
    "check_classes",
    "detect_split",
    "evaluate",
    "known_labels",
    "measure",
    "measure_classes",
    "measure_detections",
]
