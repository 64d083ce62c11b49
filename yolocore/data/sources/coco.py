"""COCO form: a JSON file a split with `images`, `annotations` and `categories`; boxes are x y w h in pixels.

Category ids may be any numbers: they become 0, 1, 2, … in their order. Outlines are polygons; keypoints are x y
visibility in pixels, and the names of left and right ones tell which mirror each other. Crowd regions
(`iscrowd`) stand for many objects at once and are left out and counted. The split of a file is in its name
(`instances_train2017.json`) or its folder's (`valid/_annotations.coco.json`).
Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from yolocore.data.labels import CROWD, Instance, Numbers, Problem
from yolocore.data.legend import Legend
from yolocore.data.sources.base import SPLIT_ALIASES, Sample
from yolocore.errors import DataError

_IN_SPLIT_FOLDER = "_annotations.coco.json"


def coco_files(root: Path) -> list[Path]:
    """The JSON files of a folder that may hold objects, sorted; of those that COCO publishes, one kind alone."""
    found = [*root.glob("*.json"), *root.glob("annotations/*.json"), *root.glob(f"*/{_IN_SPLIT_FOLDER}")]
    published = [[path for path in found if path.name.startswith(kind)] for kind in ("instances_", "person_keypoints_")]
    return sorted(published[0] or published[1] or found)


class CocoSource:
    """A folder with COCO annotation files. Raises DataError for a file that is not of that form."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files = coco_files(root)
        if not files:
            raise DataError(f"{root}: holds no COCO file; looked for *.json, annotations/ and */_annotations.coco.json")
        contents = {path: _load(path) for path in files}
        categories: dict[int, str] = {}
        for path, content in contents.items():
            for category in content["categories"]:
                number, name = int(category["id"]), str(category["name"])
                if categories.setdefault(number, name) != name:
                    raise DataError(f"{path}: category {number} is {name!r}, elsewhere {categories[number]!r}")
        self._index = {number: index for index, number in enumerate(sorted(categories))}
        names = tuple(categories[number] for number in self._index)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not names:
            what = f"two categories called {repeated[0]!r}" if repeated else "no categories"
            raise DataError(f"{files[0]}: has {what}; give each class its own name and id")
        shapes = _keypoint_counts(contents.values())
        count = min(shapes) if len(shapes) == 1 else 0
        self.legend = Legend(names, (count, 3), _flip(contents.values(), count)) if count else Legend(names)

        samples: list[Sample] = []
        warnings: list[Problem] = []
        if len(shapes) > 1:
            found = ", ".join(map(str, sorted(shapes)))
            warnings.append(Problem("keypoints left out", "annotations", f"objects have different numbers ({found})"))
        self._rows: dict[Sample, tuple[str, list[dict[str, Any]]]] = {}
        for path, content in contents.items():
            split = _split_of(path) if len(files) > 1 else None
            by_image = defaultdict(list)
            for row in content["annotations"]:
                by_image[row.get("image_id")].append(row)
            where = path.relative_to(root).as_posix()
            for image in content["images"]:
                file_name = str(image["file_name"])
                sample = Sample(file_name, _image_path(root, path, file_name), split)
                if sample in self._rows:
                    raise DataError(f"{path}: lists the image {file_name} twice; remove one entry")
                self._rows[sample] = (where, by_image.pop(image["id"], []))
                samples.append(sample)
            warnings += [
                Problem("label without image", f"{where} image_id {key}", f"{len(rows)} annotations of no image listed")
                for key, rows in by_image.items()
            ]
        self.samples: Sequence[Sample] = sorted(samples, key=lambda s: (s.split or "", s.name))
        self.warnings: Sequence[Problem] = warnings

    def annotate(self, sample: Sample, size: tuple[int, int]) -> tuple[list[Instance], list[Problem]]:
        file, rows = self._rows[sample]
        instances: list[Instance] = []
        problems: list[Problem] = []
        for row in rows:
            where = f"{file} annotation {row.get('id')} ({sample.name})"
            text = f"category_id {row.get('category_id')} bbox {row.get('bbox')}"
            if row.get("iscrowd"):
                problems.append(Problem(CROWD, where, "stands for several objects"))
            elif row.get("category_id") not in self._index:
                problems.append(Problem("class out of range", where, f"no such category in {text}; correct the id"))
            else:
                try:
                    instances.append(self._instance(row, where, text))
                except ValueError as error:
                    problems.append(Problem("malformed row", where, f"{error} in {text}; correct it"))
        return instances, problems

    def _instance(self, row: dict[str, Any], where: str, text: str) -> Instance:
        box = _numbers(row, "bbox")
        if len(box) != 4:
            raise ValueError("bbox is not four numbers")
        x, y, w, h = box
        keypoints: Numbers = ()
        if self.legend.keypoints and row.get("keypoints"):
            keypoints = _numbers(row, "keypoints")
            if len(keypoints) != 3 * self.legend.keypoints[0]:
                raise ValueError(f"keypoints has {len(keypoints)} numbers, not {3 * self.legend.keypoints[0]}")
        category = self._index[row["category_id"]]
        polygons = _polygons(row.get("segmentation"))
        return Instance(category, (x, y, x + w, y + h), polygons, keypoints, where=where, text=text)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        for key, needed in (("images", ("id", "file_name")), ("annotations", ()), ("categories", ("id", "name"))):
            for row in content[key]:
                for name in needed:
                    row[name]
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); replace the file") from None
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: is no COCO annotation file ({error} is missing); replace or remove it") from None
    return dict(content)


def _split_of(path: Path) -> str:
    told_by = path.parent.name if path.name == _IN_SPLIT_FOLDER else path.stem
    words = re.findall(r"[a-z]+", told_by.lower())
    splits = {SPLIT_ALIASES[word] for word in words if word in SPLIT_ALIASES}
    if len(splits) != 1:
        raise DataError(f"{path}: its name does not say which split it is; call it instances_train.json or …_val.json")
    return splits.pop()


def _image_path(root: Path, annotations: Path, file_name: str) -> Path:
    """Where an image lies: beside its annotation file, in the root, in images/, or in a folder named as the split."""
    subset = annotations.stem.split("_")[-1]
    folders = (annotations.parent, root, root / "images", root / subset, root / "images" / subset)
    return next((folder / file_name for folder in folders if (folder / file_name).is_file()), root / file_name)


def _keypoint_counts(contents: Iterable[dict[str, Any]]) -> set[int]:
    """How many keypoints objects have that have any."""
    found = [row.get("keypoints") for content in contents for row in content["annotations"]]
    return {len(keypoints) // 3 for keypoints in found if isinstance(keypoints, list) and len(keypoints) > 2}


def _flip(contents: Iterable[dict[str, Any]], count: int) -> tuple[int, ...]:
    """For each keypoint the one that mirrors it: what is left in its name is right in the other's. Empty where no
    name says left or right, which may then be said in other words."""
    for category in (category for content in contents for category in content["categories"]):
        places = {str(name): place for place, name in enumerate(category.get("keypoints") or ())}
        if len(places) == count and any(_mirrored(name) != name for name in places):
            return tuple(places.get(_mirrored(name), place) for name, place in places.items())
    return ()


def _mirrored(name: str) -> str:
    return re.sub("left|right", lambda side: "right" if side[0] == "left" else "left", name)


def _numbers(row: dict[str, Any], key: str) -> Numbers:
    try:
        return tuple(map(float, row[key]))
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{key} is no list of numbers") from None


def _polygons(segmentation: Any) -> tuple[Numbers, ...]:
    """Outline as polygons; run-length masks have none, and less than three points are none."""
    if not isinstance(segmentation, list):
        return ()
    try:
        polygons = tuple(tuple(map(float, part)) for part in segmentation)
    except (TypeError, ValueError):
        raise ValueError("segmentation is no list of lists of numbers") from None
    if any(len(part) % 2 for part in polygons):
        raise ValueError("segmentation has an x without y")
    return tuple(part for part in polygons if len(part) >= 6)
