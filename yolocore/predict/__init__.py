"""What a model sees in pictures and videos: where they come from, and what is left of them."""

from yolocore.predict.loop import PredictSummary, look, predict
from yolocore.predict.sources import find_media

__all__ = ["PredictSummary", "find_media", "look", "predict"]
