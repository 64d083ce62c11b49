"""How good trained models are, on both sides' detections by pycocotools, and how soon.

A training is named by side, start, seed, epochs, image size and nominal batch, and kept in the work folder: what is
there already is not trained again, so that the whole table can be made piece by piece.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from bench.training.sides import Job, Side
from yolocore.data.dataset import Split

SCORED = ("val", "test")
EPOCH, TIME, MAP = "epoch", "time", "metrics/mAP50-95(B)"


@dataclass(frozen=True)
class Outcome:
    """maps: (mAP50-95, mAP50) of the best weights by split. curve: (seconds so far, the trainer's own val
    mAP50-95) of each epoch."""

    maps: dict[str, tuple[float, float]]
    curve: list[tuple[float, float]]


def compare(sides: Sequence[Side], job: Job, starts: Sequence[str], seeds: Sequence[int], work: Path) -> None:
    """Train every side from every start with every seed, in turns, and print what came of it."""
    outcomes: dict[tuple[str, str], list[Outcome]] = {(side.name, start): [] for side in sides for start in starts}
    for start in starts:
        for seed in seeds:
            for side in sides:
                outcomes[side.name, start].append(outcome(side, replace(job, model=start, seed=seed), work))
    seed_list = ", ".join(map(str, seeds))
    table = Table(
        "",
        "start",
        *(f"{split} {name}" for split in SCORED for name in ("mAP50-95", "mAP50")),
        "each seed's test",
        "reaches the first's val mAP in epoch",
        "share of its time",
        title=f"{job.epochs} epochs at {job.imgsz}, batch {job.batch}, seeds {seed_list}; mAP by pycocotools",
        title_justify="left",
    )
    for (name, start), found in outcomes.items():
        first = outcomes[sides[0].name, start]
        reached = [soon(mine, other) for mine, other in zip(found, first, strict=True)]
        means = [statistics.mean(one.maps[split][k] for one in found) for split in SCORED for k in range(2)]
        table.add_row(
            name,
            PurePosixPath(start).name,
            *(f"{value:.3f}" for value in means),
            " ".join(f"{one.maps['test'][0]:.3f}" for one in found),
            " ".join(str(epoch or "–") for epoch, _ in reached),
            " ".join(f"{share:.2f}" if epoch else "–" for epoch, share in reached),
        )
    Console(width=200).print(table)


def outcome(side: Side, job: Job, work: Path) -> Outcome:
    """Train unless the work folder has this training already, and score it."""
    start = PurePosixPath(job.model)
    begin = start.stem if start.suffix else f"{start}-scratch"
    folder = work / f"{side.name}-{begin}-{job.seed}-{job.epochs}-{job.imgsz}-{job.nbs}"
    done = folder.with_suffix(".json")
    if not done.exists():
        side.train(job, folder)
        maps = {}
        for split in SCORED:
            trained = replace(job, model=str(side.best(folder)))
            rows = json.loads(side.detections(trained, split, folder.with_name(f"{folder.name}.{split}")).read_text())
            maps[split] = score(rows, job.data.dataset.split(split), len(job.data.dataset.names))
        done.write_text(json.dumps(maps))
    with (folder / "results.csv").open(newline="") as file:
        curve = [(float(row[TIME]), float(row[MAP])) for row in csv.DictReader(file)]
    return Outcome({name: (a, b) for name, (a, b) in json.loads(done.read_text()).items()}, curve)


def soon(mine: Outcome, other: Outcome) -> tuple[int | None, float]:
    """The first epoch (from 1) in which mine reaches the other's final val mAP50-95, and the time until then as
    a share of the other's whole time; (None, nan) where it never does.

    The target is pycocotools' value for the other's best weights. A trainer whose own curve lies lower than
    pycocotools would have it is the later for it.
    """
    target = other.maps["val"][0]
    for epoch, (seconds, value) in enumerate(mine.curve, 1):
        if value >= target:
            return epoch, seconds / other.curve[-1][0]
    return None, float("nan")


def score(rows: list[dict], split: Split, classes: int) -> tuple[float, float]:
    """(mAP50-95, mAP50) by pycocotools of detections in COCO's results form: image_id is the name's stem,
    category_id the class plus one."""
    numbers = {str(_stem(name)): index for index, name in enumerate(split.names)}
    truth: list[dict] = []
    for index in range(len(split)):
        labels = split.labels(index)
        for category, (x1, y1, x2, y2) in zip(labels.classes.tolist(), labels.boxes.tolist(), strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            about = {"image_id": index, "category_id": category + 1, "iscrowd": 0}
            truth.append({**about, "id": len(truth) + 1, "bbox": box, "area": box[2] * box[3]})
    found = [
        {
            "image_id": numbers[str(row["image_id"])],
            "category_id": row["category_id"],
            "bbox": row["bbox"],
            "score": row["score"],
        }
        for row in rows
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": index} for index in range(len(split))],
            "categories": [{"id": category + 1} for category in range(classes)],
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def _stem(name: str) -> int | str:
    stem = PurePosixPath(name).stem
    return int(stem) if stem.isdecimal() else stem
