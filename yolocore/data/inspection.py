"""Every image decoded and every label checked before anything is written, and the report of what was found.

Problems are of two kinds. Harmless ones (`labels.HARMLESS`: boxes without area, repeated boxes, crowd
regions) occur in nearly every real dataset; they are left out and counted. All others make their image
unusable: dropping only the bad row would teach a model that the object is not there.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from yolocore.data.images import broken, check_image
from yolocore.data.labels import HARMLESS, Labels, Problem, check, labels_json
from yolocore.data.legend import NOT_MIRRORED, Legend, in_order
from yolocore.data.shards import Entry
from yolocore.data.sources import Sample, Source
from yolocore.errors import DataError
from yolocore.progress import SILENT, Listener
from yolocore.store import bytes_digest

_BATCH = 64  # samples a thread takes at once
_NOTED = 20  # problems told one by one; all are counted
_LEAK = "same image in several splits"
_INCOMPLETE = "labels of some objects only"
_NO_MIRRORS = "keypoints without mirror images"


@dataclass(frozen=True)
class Inspection:
    """What a source holds.

    legend: the source's. splits: the usable images of each split, sorted by name. dropped: what was left out, by
    reason. warnings: what is odd but was kept. annotations: kinds of labels that any object has.
    """

    legend: Legend
    splits: dict[str, list[Entry]]
    dropped: dict[str, int]
    warnings: list[Problem]
    annotations: tuple[str, ...]


def inspect(
    source: Source,
    splits: Mapping[str, Sequence[Sample]],
    invalid: Literal["refuse", "drop"],
    listener: Listener = SILENT,
) -> Inspection:
    """Check the images of each split and their labels.

    invalid: 'refuse' raises DataError for the first problem and counts the others; 'drop' leaves those images
    out. Raises DataError too when no usable image is left in a split, or no image has a label.
    """
    tasks = [(split, sample) for split, samples in splits.items() for sample in samples]
    batches = [tasks[i : i + _BATCH] for i in range(0, len(tasks), _BATCH)]
    usable: dict[str, list[Entry]] = {split: [] for split in splits}
    problems: list[Problem] = []
    dropped: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    listener.start("check images", len(tasks))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = pool.map(lambda batch: [_inspect(source, sample) for _, sample in batch], batches)
        for batch, found in zip(batches, results, strict=True):
            for (split, _), (entry, noticed, annotations) in zip(batch, found, strict=True):
                fatal = [problem for problem in noticed if problem.kind not in HARMLESS]
                dropped.update(problem.kind for problem in noticed if problem.kind in HARMLESS)
                dropped.update(f"image left out: {problem.kind}" for problem in fatal[:1])
                problems += fatal
                if entry and not fatal:
                    usable[split].append(entry)
                    labels += annotations
            listener.advance(len(batch))
    for problem in problems[:_NOTED]:
        listener.note(str(problem))
    if problems and invalid == "refuse":
        raise DataError(f"{source.root}/{problems[0]}{_others(problems)}; or leave such images out with invalid=drop")
    empty = [split for split, entries in usable.items() if not entries]
    if empty:
        raise DataError(f"{source.root}: no usable image is left in {empty[0]}: {problems[0]}{_others(problems)}")
    if not labels:
        place = "in YOLO form that of images/a.jpg is labels/a.txt"
        raise DataError(
            f"{source.root}: none of the {len(tasks)} images has a label; put them in their place ({place})"
        )
    warnings = [*source.warnings, *_leaks(usable), *_incomplete(labels)]
    if not source.legend.mirrors:
        warnings.append(Problem(_NO_MIRRORS, "keypoints", NOT_MIRRORED))
    return Inspection(source.legend, usable, dict(sorted(dropped.items())), warnings, in_order(labels))


def summarize(inspection: Inspection) -> dict[str, Any]:
    """The validation report as JSON values: counts by split and class, sizes in pixels, what was odd."""
    names = inspection.legend.names
    objects = {name: dict.fromkeys(inspection.splits, 0) for name in names}
    background: dict[str, int] = {}
    areas: list[float] = []
    for split, entries in inspection.splits.items():
        labels = [Labels.from_json(entry.labels) for entry in entries]
        background[split] = sum(len(found) == 0 for found in labels)
        for found in labels:
            for category in found.classes.tolist():
                objects[names[category]][split] += 1
            areas += (np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)).tolist()
    sizes = np.array([entry.size for entries in inspection.splits.values() for entry in entries])
    # The bounds of small, medium and large are COCO's: 32 and 96 pixels squared.
    small, medium, large = np.histogram(areas, (0, 32**2, 96**2, np.inf))[0].tolist()
    return {
        "images": {split: len(entries) for split, entries in inspection.splits.items()},
        "background_images": background,
        "annotations": inspection.annotations,
        "objects": objects,
        "box_areas": {"small": small, "medium": medium, "large": large},
        "image_height": _spread(sizes[:, 0]),
        "image_width": _spread(sizes[:, 1]),
        "dropped": inspection.dropped,
        "warnings": _grouped(inspection.warnings),
    }


def _inspect(source: Source, sample: Sample) -> tuple[Entry | None, list[Problem], Counter[str]]:
    where = Path(os.path.relpath(sample.path, source.root)).as_posix()
    try:
        content = sample.path.read_bytes()
    except OSError as error:
        return None, [Problem("missing image", where, f"cannot be read ({error.strerror}); add the image")], Counter()
    size = check_image(content)
    if size is None:
        return None, [Problem("broken image", where, f"{broken(content)}; replace the file")], Counter()
    instances, problems = source.annotate(sample, size)
    usable, more = check(instances, size, source.legend.names)
    entry = Entry(sample.name, sample.path, bytes_digest(content), len(content), size, labels_json(usable, size))
    return entry, [*problems, *more], source.legend.annotations(usable)


def _others(problems: Sequence[Problem]) -> str:
    """' (+5 more: 4 class out of range, 1 broken image)', or nothing."""
    counts = Counter(problem.kind for problem in problems[1:])
    listed = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return f" (+{len(problems) - 1} more: {listed})" if counts else ""


def _leaks(splits: Mapping[str, Iterable[Entry]]) -> list[Problem]:
    """Images whose bytes occur in more than one split: what is measured on them says nothing."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for split, entries in splits.items():
        for entry in entries:
            places[entry.digest][split] = entry.name
    return [
        Problem(_LEAK, ", ".join(f"{split}/{name}" for split, name in found.items()), "keep it in one split")
        for found in places.values()
        if len(found) > 1
    ]


def _incomplete(labels: Mapping[str, int]) -> list[Problem]:
    """Kinds of labels that only some of the objects have: a task that needs them learns from those alone."""
    return [
        Problem(_INCOMPLETE, kind, f"{labels['boxes'] - count} of {labels['boxes']} objects have none")
        for kind, count in labels.items()
        if kind != "classes" and count < labels["boxes"]
    ]


def _grouped(warnings: Iterable[Problem]) -> dict[str, Any]:
    groups: dict[str, list[str]] = defaultdict(list)
    for problem in warnings:
        groups[problem.kind].append(str(problem))
    return {kind: {"count": len(lines), "first": lines[:_NOTED]} for kind, lines in sorted(groups.items())}


def _spread(values: np.ndarray[Any, Any]) -> dict[str, int]:
    return {"min": int(values.min()), "median": int(np.median(values)), "max": int(values.max())}
