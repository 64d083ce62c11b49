"""How good a model is: the one loop over a split, the COCO matching, the figures and their pictures."""

from yolocore.evaluate.classes import in_classes_of, known_labels
from yolocore.evaluate.loop import detect_split, evaluate
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
    "detect_split",
    "evaluate",
    "in_classes_of",
    "known_labels",
    "measure",
    "measure_classes",
    "measure_detections",
]
