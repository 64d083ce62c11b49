"""YOLO form: `dataset.yaml` names classes and splits, one text file an image holds a row an object.

A row is `class cx cy w h`, normalised to 0..1. Rows with more numbers are read as well: `class x1 y1 x2 y2
x3 y3 …` is a polygon (four points: the corners of a rotated box), and where the yaml has `kpt_shape`, the
box is followed by keypoints. The label of `…/images/a/b.jpg` is `…/labels/a/b.txt`, or `b.txt` beside the
image where no folder is called images. An image without a label file shows only background.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from yolocore.data.images import is_image
from yolocore.data.labels import Instance, Numbers, Problem
from yolocore.data.legend import Legend
from yolocore.data.sources.base import SPLIT_ALIASES, Sample, find_images, relative_names
from yolocore.errors import DataError

# A polygon or rotated box may reach this share of the side past the edge: its object goes on outside.
POINT_MARGIN = 0.5
NAME_LISTS = ("classes.txt", "labels/classes.txt", "obj.names")


class YoloSource:
    """A dataset in YOLO form, from its yaml file, or from a folder that holds `images/` and `labels/`.

    Raises DataError for a yaml that cannot be used and for images that are not there.
    """

    def __init__(self, path: Path) -> None:
        content, self.root = _description(path)
        self.legend = _legend(content, path)
        entries = {
            SPLIT_ALIASES[key]: value for key, value in content.items() if key in SPLIT_ALIASES and value is not None
        }
        samples: list[Sample] = []
        if entries:
            for split, entry in entries.items():
                samples += _split_samples(self.root, split, entry, path)
        else:
            folder = self.root / "images" if (self.root / "images").is_dir() else self.root
            samples += _named(find_images(folder), folder, None)
        if not samples:
            raise DataError(f"{path}: no image found below {self.root}; say where they are under train: and val:")
        self.samples: Sequence[Sample] = sorted(samples, key=lambda s: (s.split or "", s.name))
        self.warnings: Sequence[Problem] = self._orphans()

    def annotate(self, sample: Sample, size: tuple[int, int]) -> tuple[list[Instance], list[Problem]]:
        path = label_path(sample.path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return [], []
        except (OSError, UnicodeDecodeError) as error:
            return [], [Problem("unreadable label", self._relative(path), f"{error}; replace the file")]
        instances: list[Instance] = []
        problems: list[Problem] = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            where = f"{self._relative(path)}:{number}"
            try:
                instances.append(self._instance(line, size, where))
            except ValueError as error:
                problems.append(Problem("malformed row", where, f"{error} in {_shorten(line)!r}; correct the row"))
        return instances, problems

    def _instance(self, line: str, size: tuple[int, int], where: str) -> Instance:
        category, *numbers = map(float, line.split())
        if not category.is_integer():
            raise ValueError(f"class {category:g} is no whole number")
        height, width = size
        shape = self.legend.keypoints
        keypoints: Numbers = ()
        polygons: tuple[Numbers, ...] = ()
        if shape and len(numbers) == 4 + shape[0] * shape[1]:
            keypoints = _keypoint_pixels(numbers[4:], shape[1], size)
            box = _box_pixels(numbers[:4], size)
        elif len(numbers) == 4:
            box = _box_pixels(numbers, size)
        elif len(numbers) >= 6 and len(numbers) % 2 == 0 and not shape:
            if min(numbers) < -POINT_MARGIN or max(numbers) > 1 + POINT_MARGIN:
                raise ValueError("a point lies far outside the image (points are normalised to 0..1)")
            xs, ys = [x * width for x in numbers[::2]], [y * height for y in numbers[1::2]]
            polygons = (tuple(n for point in zip(xs, ys, strict=True) for n in point),)
            box = _box_of_points(xs, ys, size)
        else:
            raise ValueError(f"{len(numbers)} numbers after the class, expected {self._expected()}")
        return Instance(int(category), box, polygons, keypoints, where=where, text=_shorten(line))

    def _expected(self) -> str:
        if self.legend.keypoints:
            count, dims = self.legend.keypoints
            return f"4 (cx cy w h) or {4 + count * dims} (with {count} keypoints)"
        return "4 (cx cy w h) or pairs x y of a polygon; a dataset of keypoints needs kpt_shape in its yaml"

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix()

    def _orphans(self) -> list[Problem]:
        expected = {label_path(sample.path) for sample in self.samples}
        folders = {path.parent for path in expected}
        return [
            Problem("label without image", self._relative(path), "no image has this name")
            for folder in sorted(folders)
            for path in sorted(folder.glob("*.txt"))
            if path not in expected and folder.name != "images" and path.name != "classes.txt"
        ]


def label_path(image: Path) -> Path:
    """The label file of an image: the last folder called images becomes labels, the suffix .txt."""
    parts = list(image.with_suffix(".txt").parts)
    folders = parts[:-1]
    if "images" in folders:
        parts[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return Path(*parts)


def _description(path: Path) -> tuple[dict[str, Any], Path]:
    """Content of the yaml (or what stands for it in a folder without one) and the folder of the data."""
    if path.is_dir():
        for candidate in NAME_LISTS:
            if (path / candidate).is_file():
                lines = (path / candidate).read_text(encoding="utf-8").splitlines()
                return {"names": [line.strip() for line in lines if line.strip()]}, path
        raise DataError(f"{path}: holds neither a dataset.yaml nor a classes.txt; write one that names the classes")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the path of a dataset.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no dataset description; it needs the keys train, val and names")
    root = path.parent / str(content.get("path") or ".")
    # Downloaded datasets often name a folder of the machine that they were made on.
    return content, root if root.is_dir() else path.parent


def _class_names(content: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = content.get("names")
    if names is None and isinstance(content.get("nc"), int):
        names = [str(i) for i in range(content["nc"])]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise DataError(f"{path}: names has the keys {sorted(names, key=str)}; number the classes 0, 1, 2, …")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: names is {names!r}; list the names of the classes")
    if content.get("nc") not in (None, len(names)):
        raise DataError(f"{path}: nc is {content['nc']!r} but names has {len(names)}; correct one of them")
    result = tuple(str(name) for name in names)
    repeated = sorted({name for name in result if result.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: names holds {repeated[0]!r} twice; give each class its own name")
    return result


def _legend(content: dict[str, Any], path: Path) -> Legend:
    """Class names, and the shape and mirror images of keypoints."""
    names, shape, flip = _class_names(content, path), content.get("kpt_shape"), content.get("flip_idx")
    if shape is None:
        return Legend(names)
    match shape:
        case [int(count), 2 | 3 as numbers] if count > 0:
            pass
        case _:
            raise DataError(f"{path}: kpt_shape is {shape!r}; give [number of keypoints, 2 or 3]")
    if flip is not None and not (isinstance(flip, list) and all(isinstance(i, int) for i in flip)):
        raise DataError(f"{path}: flip_idx is {flip!r}; list for each keypoint the one that mirrors it")
    try:
        return Legend(names, (count, numbers), tuple(flip or ()))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _split_samples(root: Path, split: str, entry: Any, path: Path) -> list[Sample]:
    """The images of one split: a folder, a .txt list of images, or a list of those."""
    entries = entry if isinstance(entry, list) else [entry]
    images: list[Path] = []
    bases: list[Path] = []
    for text in map(str, entries):
        place = _resolve(root, text, split, path)
        if place.is_dir():
            found = find_images(place)
            bases.append(place)
        else:
            found = [_listed(line.strip(), place, root) for line in place.read_text().splitlines() if line.strip()]
            bases += {image.parent for image in found}
        if not found:
            raise DataError(f"{path}: {split}: {text} holds no image; correct the path")
        images += found
    return _named(sorted(set(images)), Path(os.path.commonpath(bases)), split)


def _named(images: Sequence[Path], base: Path, split: str | None) -> list[Sample]:
    return [Sample(name, image, split) for name, image in zip(relative_names(images, base), images, strict=True)]


def _resolve(root: Path, text: str, split: str, path: Path) -> Path:
    # A leading ../ that leads nowhere is how one popular exporter writes paths from the yaml's folder.
    candidates = (root / text, path.parent / text, path.parent / text.removeprefix("../"))
    for candidate in candidates:
        if candidate.is_dir() or (candidate.is_file() and candidate.suffix == ".txt"):
            return Path(os.path.normpath(candidate))
    raise DataError(f"{path}: {split}: {candidates[0]} is neither a folder nor a .txt list of images; correct the path")


def _listed(line: str, listing: Path, root: Path) -> Path:
    for base in (listing.parent, root):
        candidate = Path(os.path.normpath(base / line))
        if is_image(candidate) and candidate.is_file():
            return candidate
    raise DataError(f"{listing}: lists {line}, which is no image file; correct the list")


def _box_pixels(numbers: Sequence[float], size: tuple[int, int]) -> Numbers:
    height, width = size
    cx, cy, w, h = numbers
    return ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)


def _box_of_points(xs: Sequence[float], ys: Sequence[float], size: tuple[int, int]) -> Numbers:
    """The box around points, cut at the image's edge; left whole where nothing of it is inside."""
    height, width = size
    x1, y1, x2, y2 = min(xs), min(ys), max(xs), max(ys)
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return (x1, y1, x2, y2)
    return (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))


def _keypoint_pixels(numbers: Sequence[float], dims: int, size: tuple[int, int]) -> Numbers:
    """x y visibility for each point; without a visibility of its own, a point at 0 0 is not labelled."""
    height, width = size
    result: list[float] = []
    for i in range(0, len(numbers), dims):
        x, y = numbers[i], numbers[i + 1]
        visible = numbers[i + 2] if dims == 3 else 2.0 * (x > 0 or y > 0)
        result += [x * width, y * height, visible]
    return tuple(result)


def _shorten(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= 80 else text[:77] + "…"
