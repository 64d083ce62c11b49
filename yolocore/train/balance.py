"""Weights of classes, for data in which some are rare."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yolocore.data.dataset import Split


def class_weights(split: Split, classes: int, power: float) -> npt.NDArray[np.float32] | None:
    """(classes,) weights that fall with a class's number of objects to this power; None where all weigh alike.

    They are scaled so that the mean over objects is 1, which leaves the balance with the loss's other parts
    as it is. A class without objects weighs 1.
    """
    if not power:
        return None
    counts = np.zeros(classes)
    for index in range(len(split)):
        counts += np.bincount(split.labels(index).classes, minlength=classes)
    present = counts > 0
    weights = np.where(present, np.maximum(counts, 1) ** -power, 0.0)
    weights *= counts.sum() / max((weights * counts).sum(), 1e-12)
    return np.where(present, weights, 1.0).astype(np.float32)
