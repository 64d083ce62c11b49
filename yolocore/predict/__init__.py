"""What a detector finds in pictures and videos: where they come from, and what is left of them."""

from yolocore.predict.loop import PredictSummary, detect, predict
from yolocore.predict.sources import find_media

__all__ = ["PredictSummary", "detect", "find_media", "predict"]
