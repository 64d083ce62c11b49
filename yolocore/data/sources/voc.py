"""Pascal VOC form: Annotations/NAME.xml, JPEGImages/NAME.jpg, and ImageSets/Main/SPLIT.txt lists of names.

Classes are numbered in the order of their names. VOC counts pixels from 1 and includes the last one
(devkit documentation, section 3.2), so the box of pixels xmin..xmax covers xmin-1 to xmax in the
coordinates used here. One whose corners coincide is a slip of the mouse and has no area. Objects marked
difficult are objects.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from yolocore.data.labels import Instance, Problem
from yolocore.data.legend import Legend
from yolocore.data.sources.base import TEST, TRAIN, VAL, Sample, find_images
from yolocore.errors import DataError

_BOX = ("xmin", "ymin", "xmax", "ymax")


class VocSource:
    """A folder in VOC form. Raises DataError when it lacks one of its parts, or a list names a missing image."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folder = next((root / name for name in ("JPEGImages", "images") if (root / name).is_dir()), None)
        if folder is None or not (root / "Annotations").is_dir():
            raise DataError(f"{root}: is not in VOC form; looked for Annotations/*.xml and JPEGImages/")
        images = {path.stem: path for path in find_images(folder)}
        self._rows = {path.stem: _parse(path) for path in sorted((root / "Annotations").glob("*.xml"))}
        names = tuple(sorted({name for rows in self._rows.values() for name, _ in rows or []}))
        if not names:
            raise DataError(f"{root}/Annotations: no file there names an object; looked for <object><name>")
        self.legend = Legend(names)
        self._number = {name: index for index, name in enumerate(names)}

        lists = _split_lists(root)
        self.samples: Sequence[Sample] = [
            Sample(_image(images, name, file).name, _image(images, name, file), split)
            for split, file in sorted(lists.items())
            for name in _listed(file)
        ] or [Sample(path.name, path, None) for _, path in sorted(images.items())]
        listed = {sample.path.stem for sample in self.samples}
        self.warnings: Sequence[Problem] = [
            Problem("label without image", f"Annotations/{stem}.xml", "no image has this name")
            for stem in self._rows
            if stem not in images
        ] + [
            Problem("image in no list", path.name, "no list of ImageSets names it")
            for stem, path in sorted(images.items())
            if stem not in listed
        ]

    def annotate(self, sample: Sample, size: tuple[int, int]) -> tuple[list[Instance], list[Problem]]:
        stem = sample.path.stem
        rows = self._rows.get(stem, [])
        if rows is None:
            return [], [Problem("unreadable label", f"Annotations/{stem}.xml", "is not XML; replace the file")]
        instances: list[Instance] = []
        problems: list[Problem] = []
        for number, (name, texts) in enumerate(rows, start=1):
            where = f"Annotations/{stem}.xml object {number}"
            text = f"{name} {' '.join(texts)}"
            try:
                x1, y1, x2, y2 = map(float, texts)
            except ValueError:
                problems.append(Problem("malformed row", where, f"the box is not four numbers in {text!r}; correct it"))
                continue
            first = (x1 - (x1 != x2), y1 - (y1 != y2))
            instances.append(Instance(self._number[name], (*first, x2, y2), where=where, text=text))
        return instances, problems


def _parse(path: Path) -> list[tuple[str, list[str]]] | None:
    """(class, the four numbers as they stand) of each object; None for a file that is not XML."""
    try:
        tree = ET.parse(path)
    except ET.ParseError:
        return None
    return [
        (item.findtext("name", "").strip(), [item.findtext(f"bndbox/{key}", "").strip() for key in _BOX])
        for item in tree.iter("object")
    ]


def _split_lists(root: Path) -> dict[str, Path]:
    """The list of each split that has one. trainval counts as train where train has none of its own."""
    for folder in (root / "ImageSets" / "Main", root / "ImageSets"):
        found = {name: folder / f"{name}.txt" for name in (TRAIN, VAL, TEST) if (folder / f"{name}.txt").is_file()}
        if TRAIN not in found and (folder / "trainval.txt").is_file():
            found[TRAIN] = folder / "trainval.txt"
        if found:
            return found
    return {}


def _listed(file: Path) -> list[str]:
    """Names in a list, sorted; a mark may follow each."""
    return sorted({line.split()[0] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()})


def _image(images: dict[str, Path], name: str, file: Path) -> Path:
    if name not in images:
        raise DataError(f"{file}: lists {name}, but no image has that name; correct the list or add the image")
    return images[name]
