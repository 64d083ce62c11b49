"""What a folder of images and labels looks like to the rest of the project, whatever its form."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from yolocore.data.images import is_image
from yolocore.data.labels import Instance, Problem
from yolocore.data.legend import Legend
from yolocore.errors import DataError
from yolocore.store import files_below

TRAIN, VAL, TEST = "train", "val", "test"
SPLIT_ALIASES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
IGNORED = (".", "__MACOSX")  # beginnings of names that archivers and tools add


@dataclass(frozen=True)
class Sample:
    """One image of a source.

    name: what the image is called in the dataset, unique within its split. split: None where the source
    has no splits of its own.
    """

    name: str
    path: Path
    split: str | None


class Source(Protocol):
    """A folder of images and labels of some form.

    legend: classes and keypoints. samples: its images, sorted by split and name. warnings: what is odd about it,
    but spoils nothing (labels without an image, crowd regions that are left out).
    """

    root: Path
    legend: Legend
    samples: Sequence[Sample]
    warnings: Sequence[Problem]

    def annotate(self, sample: Sample, size: tuple[int, int]) -> tuple[list[Instance], list[Problem]]:
        """The objects of an image whose (height, width) is `size`, and rows that could not be read."""


def find_images(folder: Path) -> list[Path]:
    """All image files below a folder, sorted."""
    return [path for path in files_below(folder) if is_image(path)]


def relative_names(paths: Iterable[Path], base: Path) -> list[str]:
    return [Path(os.path.relpath(path, base)).as_posix() for path in paths]


def assign_splits(
    samples: Sequence[Sample], seed: int, train_fraction: float, val_fraction: float
) -> dict[str, list[Sample]]:
    """The images of each split: the source's own splits where it has any besides train, else by hash.

    The hash of seed and name alone decides, so adding images moves no other one. Raises DataError for
    images to train on without any to validate on.
    """
    own = {sample.split for sample in samples} - {None, TRAIN}
    splits: dict[str, list[Sample]] = {}
    for sample in samples:
        split = sample.split if own and sample.split else _by_hash(sample.name, seed, train_fraction, val_fraction)
        splits.setdefault(split, []).append(sample)
    if TRAIN in splits and VAL not in splits:
        found = ", ".join(f"{len(found)} {name}" for name, found in splits.items())
        raise DataError(f"no image for val ({found}); add a val split or images, or raise val_fraction")
    return dict(sorted(splits.items()))


def _by_hash(name: str, seed: int, train_fraction: float, val_fraction: float) -> str:
    number = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") / 2**64
    if number < train_fraction:
        return TRAIN
    return VAL if number < train_fraction + val_fraction else TEST
