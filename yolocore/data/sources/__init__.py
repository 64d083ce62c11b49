"""Readers of the forms that datasets come in; each gives classes, images with their split, and objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from yolocore.data.sources.base import IGNORED, Sample, Source, assign_splits
from yolocore.data.sources.coco import CocoSource, coco_files
from yolocore.data.sources.folders import FolderSource, are_class_folders
from yolocore.data.sources.voc import VocSource
from yolocore.data.sources.yolo import NAME_LISTS, YoloSource, label_path
from yolocore.errors import DataError

__all__ = ["FORMS", "PLAIN", "Sample", "Source", "assign_splits", "label_path", "open_source"]

_DESCRIPTIONS = ("dataset", "data")
_LOOKED_FOR = {
    "yolo": "a yaml file with names (or images/, labels/ and classes.txt)",
    "coco": "a JSON file beside the images or in annotations/",
    "voc": "Annotations/*.xml",
    "folders": "folders of images named as the classes (in train/ and val/, or without splits)",
}
FORMS = tuple(_LOOKED_FOR)
PLAIN = ("yolo", "folders")  # the forms that say what belongs to which split, so that they can be used as they are


def open_source(path: Path, among: Sequence[str] = FORMS) -> Source:
    """Open a folder (or a YOLO dataset.yaml) in one of several forms: the one that it is in, or the only one given.

    A folder that holds a single folder and nothing else, as archives often do, stands for that one.
    Raises DataError for a folder that is of no form, or of several.
    """
    while path.is_dir() and len(inside := [p for p in path.iterdir() if not p.name.startswith(IGNORED)]) == 1:
        if not inside[0].is_dir():
            break
        path = inside[0]
    if path.is_file():
        if path.suffix not in (".yaml", ".yml") or "yolo" not in among:
            raise DataError(f"{path}: is no folder, archive or dataset.yaml; give one of these")
        return YoloSource(path)
    form = among[0] if len(among) == 1 else _form(path, among)
    if form == "coco":
        return CocoSource(path)
    if form == "voc":
        return VocSource(path)
    if form == "folders":
        return FolderSource(path)
    return YoloSource(_yolo_description(path))


def _form(path: Path, among: Sequence[str]) -> str:
    found = [form for form in _forms(path) if form in among]
    if not found:
        looked = "; ".join(f"{form}: {_LOOKED_FOR[form]}" for form in among)
        raise DataError(f"{path}: is no dataset of a known form; looked for {looked}")
    if len(found) > 1:
        raise DataError(f"{path}: may be in the form {' or '.join(found)}; say which with format={found[0]}")
    return found[0]


def _forms(root: Path) -> list[str]:
    marks = {
        "yolo": bool(_yaml_files(root)) or any((root / name).is_file() for name in NAME_LISTS),
        "coco": bool(coco_files(root)),
        "voc": any((root / "Annotations").glob("*.xml")),
    }
    # Any folder of images may be a class: only where nothing else is found.
    return [form for form, present in marks.items() if present] or ["folders"] * are_class_folders(root)


def _yolo_description(root: Path) -> Path:
    """The yaml that describes a folder, or the folder itself where it has only a list of names."""
    files = _yaml_files(root)
    preferred = [path for path in files if path.stem in _DESCRIPTIONS]
    if len(preferred or files) > 1:
        names = ", ".join(path.name for path in preferred or files)
        raise DataError(f"{root}: has several descriptions ({names}); give the path of one of them")
    return (preferred or files or [root])[0]


def _yaml_files(root: Path) -> list[Path]:
    """The yaml files of a folder that name classes, sorted."""
    found = []
    content: Any
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            content = {"names": None} if path.stem in _DESCRIPTIONS else None  # its reader will say what is wrong
        if isinstance(content, dict) and ("names" in content or "nc" in content):
            found.append(path)
    return found
