"""Class folders: the folder of an image is its class, as in `train/cat/1.jpg`, or `cat/1.jpg` without splits.

Classes are numbered in the order of their names. An image has one class, and nothing is said of objects in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolocore.data.labels import Instance, Problem, whole_image
from yolocore.data.legend import Legend
from yolocore.data.sources.base import SPLIT_ALIASES, Sample, find_images, relative_names
from yolocore.errors import DataError


class FolderSource:
    """A folder of class folders. Raises DataError when fewer than two classes have an image."""

    warnings: Sequence[Problem] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self.samples: Sequence[Sample] = sorted(
            (
                Sample(name, image, split)
                for folder, split in _split_folders(root).items()
                for images in _class_folders(folder).values()
                for name, image in zip(relative_names(images, folder), images, strict=True)
            ),
            key=lambda s: (s.split or "", s.name),
        )
        names = sorted({_class_of(sample) for sample in self.samples})
        if len(names) < 2:
            found = f"only of class {names[0]!r}" if names else "none"
            raise DataError(f"{root}: holds no class folders: of images in folders there are {found}; make one a class")
        self.legend = Legend(tuple(names), whole=True)
        self._number = {name: index for index, name in enumerate(names)}

    def annotate(self, sample: Sample, size: tuple[int, int]) -> tuple[list[Instance], list[Problem]]:
        return [whole_image(self._number[_class_of(sample)], size)], []


def are_class_folders(root: Path) -> bool:
    """Whether a folder looks like class folders: two classes at least, and an image in each one's folders."""
    images: dict[str, bool] = {}
    for folder in _split_folders(root):
        for name, found in _class_folders(folder).items():
            images[name] = images.get(name, False) or bool(found)
    return len(images) > 1 and all(images.values())


def _split_folders(root: Path) -> dict[Path, str | None]:
    """The folder of each split; the root itself, of no split, where none has a split's name."""
    return {path: SPLIT_ALIASES[path.name] for path in _folders(root) if path.name in SPLIT_ALIASES} or {root: None}


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    return {path.name: find_images(path) for path in _folders(folder)}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _class_of(sample: Sample) -> str:
    return sample.name.partition("/")[0]
