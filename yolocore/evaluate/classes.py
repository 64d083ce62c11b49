"""Whether a model and a dataset tell the same classes apart, or the model none at all."""

from __future__ import annotations

from collections.abc import Sequence

from yolocore.data.dataset import Dataset, Split
from yolocore.data.labels import Labels
from yolocore.data.subset import subset
from yolocore.errors import DataError
from yolocore.meta import ONE_CLASS
from yolocore.progress import SILENT, Listener
from yolocore.runtimes.detector import Detector


def in_classes_of(detector: Detector, dataset: Dataset, split: Split, listener: Listener = SILENT) -> Split:
    """A split of the dataset in the classes that the model tells apart: all as one where it was trained with
    single_cls, which is noted, and so are other names. Another number raises DataError."""
    known, given = detector.meta.names, dataset.names
    if known == ONE_CLASS and len(given) > 1:
        listener.note(f"the model was trained with single_cls: all {len(given)} classes of the dataset count as one")
        return subset(split, single_cls=True)
    if len(known) != len(given):
        raise DataError(
            f"data={dataset.path}: has {len(given)} classes, the model {len(known)}; "
            "give the dataset that it was trained for"
        )
    renamed = [f"{ours!r} is {theirs!r}" for ours, theirs in zip(known, given, strict=True) if ours != theirs]
    if renamed:
        listener.note(f"{len(renamed)} classes have other names in the dataset, the first: {renamed[0]}")
    return split


def known_labels(split: Split, names: Sequence[str]) -> list[Labels]:
    """The labels of every image. Raises DataError for a class that a model of these names doesn't know."""
    labels = [split.labels(index) for index in range(len(split))]
    for name, truth in zip(split.names, labels, strict=True):
        if len(truth) and truth.classes.max() >= len(names):
            raise DataError(
                f"{name}: has class {truth.classes.max()}, but the model knows {len(names)} classes; "
                "give the dataset that it was trained for"
            )
    return labels
