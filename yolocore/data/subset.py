"""A part of a split: fewer images, only some classes, or all classes as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from yolocore.data.dataset import Split
from yolocore.data.labels import Labels
from yolocore.store import json_digest


def subset(
    split: Split,
    fraction: float = 1.0,
    classes: Sequence[int] | None = None,
    single_cls: bool = False,
    seed: int = 0,
    background: bool = True,
) -> Split:
    """A view of a split that is a split again; the split itself where nothing is left out.

    fraction: share of the images, one at least, chosen by the hash of seed and name: a larger share holds the
    smaller ones. classes: objects of other classes are left out; None: all stay. single_cls: all objects get the
    class 0. background: whether images that lose all their objects stay; without, every label is read at once.
    """
    kept = None if classes is None else frozenset(classes)
    rows = np.arange(len(split))
    if fraction < 1:
        order = sorted(rows.tolist(), key=lambda row: _hashed(seed, split.names[row]))
        rows = np.sort(order[: max(1, round(fraction * len(order)))])
    view = Subset(split, rows, kept, single_cls)
    if kept is not None and not background:
        rows = rows[[len(view.labels(i)) > 0 or len(split.labels(row)) == 0 for i, row in enumerate(rows.tolist())]]
        view = Subset(split, rows, kept, single_cls)
    unchanged = len(rows) == len(split) and kept is None and not single_cls
    return split if unchanged else view


class Subset:
    """A split's images in these rows, with the objects of these classes (see `dataset.Split`)."""

    def __init__(
        self, split: Split, rows: npt.NDArray[np.int64], classes: frozenset[int] | None, single_cls: bool
    ) -> None:
        self._split = split
        self._rows = rows.tolist()
        self._classes = classes
        self._single_cls = single_cls
        self.names: Sequence[str] = tuple(split.names[row] for row in self._rows)
        self.sizes: npt.NDArray[np.int32] = split.sizes[rows]

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def digest(self) -> str:
        classes = None if self._classes is None else sorted(self._classes)
        choice = {"images": self.names, "classes": classes, "single_cls": self._single_cls}
        return json_digest({"split": self._split.digest, **choice})

    def image(self, index: int) -> bytes | memoryview:
        return self._split.image(self._rows[index])

    def where(self, index: int) -> str:
        return self._split.where(self._rows[index])

    def labels(self, index: int) -> Labels:
        labels = self._split.labels(self._rows[index])
        if self._classes is not None:
            labels = labels.take(np.isin(labels.classes, list(self._classes)))
        return replace(labels, classes=np.zeros_like(labels.classes)) if self._single_cls else labels


def _hashed(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
