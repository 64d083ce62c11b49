"""Searching the settings of training: what may be tried, the study that chooses, and what people see of it."""

from yolocore.tune.space import SPACE, first_values, ranges
from yolocore.tune.study import Pruned, Study, Trial

__all__ = ["SPACE", "Pruned", "Study", "Trial", "first_values", "ranges"]
