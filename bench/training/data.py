"""The same images and labels for both sides: a dataset of ours, and the YOLO folder that the other side reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from yolocore.config import IngestConfig
from yolocore.data import Dataset, open_dataset
from yolocore.data.dataset import Split
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs


@dataclass(frozen=True)
class Data:
    """dataset: ours, ingested. folder: of the dataset. yaml: describes its copy in YOLO form."""

    dataset: Dataset
    folder: Path
    yaml: Path


def prepare(source: str, work: Path) -> Data:
    """Ingest the source (see `yolo ingest`) and copy it into YOLO form, once for a work folder."""
    folder = work / "data"
    ingest(IngestConfig(invalid="drop", demo_images=128, demo_imgsz=320), IngestInputs(source=source), folder)
    dataset = open_dataset(folder)
    copy = work / "yolo"
    description = copy / "data.yaml"
    if not description.exists():
        for name in dataset.splits:
            _copy_split(dataset.split(name), copy / "images" / name, copy / "labels" / name)
        splits = {name: f"images/{name}" for name in dataset.splits}
        content = {"path": str(copy.absolute()), **splits, "names": dict(enumerate(dataset.names))}
        description.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Data(dataset, folder, description)


def _copy_split(split: Split, images: Path, labels: Path) -> None:
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(split.names):
        (images / name).write_bytes(split.image(index))
        height, width = split.sizes[index].tolist()
        found = split.labels(index)
        rows = [
            f"{category} {(x1 + x2) / 2 / width:.8f} {(y1 + y2) / 2 / height:.8f} "
            f"{(x2 - x1) / width:.8f} {(y2 - y1) / height:.8f}\n"
            for category, (x1, y1, x2, y2) in zip(found.classes.tolist(), found.boxes.tolist(), strict=True)
        ]
        (labels / name).with_suffix(".txt").write_text("".join(rows), encoding="utf-8")
