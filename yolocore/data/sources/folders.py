"""Class folders: the folder of an image is its class, as in `train/cat/1.jpg`, or `cat/1.jpg` without splits.

Classes are numbered in the order of their names. An image has one class, and nothing is said of objects in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yolocore.data.images import is_image
from yolocore.data.labels import Instance, Problem, whole_image
from yolocore.data.legend import Legend
from yolocore.data.sources.base import IGNORED, SPLIT_ALIASES, Sample, find_images, relative_names
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
                for images in map(find_images, _folders(folder))
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
    folders = [path for folder in _split_folders(root) for path in _folders(folder)]
    with_images = {path.name for path in folders if any(map(is_image, path.rglob("*")))}
    return len(with_images) > 1 and with_images == {path.name for path in folders}


def _split_folders(root: Path) -> dict[Path, str | None]:
    """The folder of each split, which holds folders in turn; where there is none the root itself, of no split."""
    named = [path for path in _folders(root) if path.name in SPLIT_ALIASES and _folders(path)]
    return {path: SPLIT_ALIASES[path.name] for path in named} or {root: None}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(IGNORED))


def _class_of(sample: Sample) -> str:
    return sample.name.partition("/")[0]
