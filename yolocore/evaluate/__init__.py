"""How good a detector is: the one loop over a split, the COCO matching, the figures and their pictures."""

from yolocore.evaluate.loop import check_classes, detect_split, evaluate, known_labels
from yolocore.evaluate.metrics import DetectionMetrics, measure

__all__ = ["DetectionMetrics", "check_classes", "detect_split", "evaluate", "known_labels", "measure"]
