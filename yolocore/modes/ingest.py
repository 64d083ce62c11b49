"""ingest: a folder of images and labels, wherever it lies, becomes a dataset.

1. identify the source (nothing is done when its dataset lies at `out` already)
2. bring it here: download, unpack, or paint the built-in data
3. check every image and label, and give each image its split
4. write shards and manifest
5. report: counts, pictures, and the record
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolocore.config import IngestConfig
from yolocore.data import open_dataset
from yolocore.data.demo import DemoSource, write_video
from yolocore.data.fetch import fetched, identity
from yolocore.data.inspection import Inspection, inspect, summarize
from yolocore.data.pictures import draw_samples, draw_statistics
from yolocore.data.shards import FOLDER, MANIFEST, Manifest, write_manifest, write_split
from yolocore.data.sources import FORMS, Source, assign_splits, open_source
from yolocore.errors import DataError, UsageError
from yolocore.modes.inputs import DEMO, DEMO_CLASSIFY, IngestInputs
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import IngestRecord
from yolocore.store import json_digest

REPORT, STATISTICS, SAMPLES = "report.json", "statistics.png", "samples.jpg"


def ingest(config: IngestConfig, inputs: IngestInputs, out: Path, listener: Listener = SILENT) -> IngestRecord:
    """Make a dataset of `inputs.source` in the folder `out`.

    Raises UsageError for settings that contradict each other, DataError for a source that is missing,
    broken or of no known form, ServiceError for a server that does not answer, StorageError for a missing
    bucket or a full disk. `out` is then as it was before.
    """
    train, val = config.train_fraction, config.val_fraction
    if train + val > 1:
        raise UsageError(f"train_fraction={train} and val_fraction={val} exceed 1 together; lower one of them")
    uri = inputs.source
    source_digest = json_digest({"source": uri}) if uri in (DEMO, DEMO_CLASSIFY) else identity(uri)
    with Step(IngestRecord, config, {"source": source_digest}, out) as step:
        if step.finished:
            return step.finished
        with _opened(uri, config, step.work, listener) as source:
            started = time.perf_counter()
            splits = assign_splits(source.samples, config.seed, train, val)
            inspection = inspect(source, splits, config.invalid, listener)
            report = summarize(inspection)
            manifest = _write(inspection, config.shard_mb, step.work, listener)
            seconds = time.perf_counter() - started
        artifacts = {"dataset": MANIFEST, "shards": FOLDER}
        if uri == DEMO:
            write_video(step.work, config.demo_imgsz, config.seed)
            artifacts["video"] = "video"
        _draw(report, manifest, step.work)
        for kind, found in report["warnings"].items():
            listener.note(f"{found['count']} × {kind}, for example {found['first'][0]}")
        objects = {name: sum(counts.values()) for name, counts in report["objects"].items()}
        images = report["images"]
        return step.publish(
            metrics={
                "images": sum(images.values()),
                "objects": sum(objects.values()),
                "background_images": sum(report["background_images"].values()),
                "warnings": sum(found["count"] for found in report["warnings"].values()),
            },
            artifacts=artifacts,
            views=(REPORT, STATISTICS, SAMPLES),
            versions={"numpy": np.__version__, "opencv": cv2.__version__},
            timings={"images_per_second": sum(images.values()) / seconds},
            dataset=manifest.digest,
            images=images,
            objects=objects,
            dropped=inspection.dropped,
        )


@contextlib.contextmanager
def _opened(uri: str, config: IngestConfig, work: Path, listener: Listener) -> Iterator[Source]:
    """The source, its files below `work` where they are not local; errors call it what the user calls it."""
    if uri in (DEMO, DEMO_CLASSIFY):
        folder = work / "source"
        yield DemoSource(folder, config.demo_images, config.demo_imgsz, config.seed, whole=uri == DEMO_CLASSIFY)
        shutil.rmtree(folder)
        return
    with fetched(uri, work, listener) as path:
        try:
            yield open_source(path, FORMS if config.format == "auto" else (config.format,))
        except DataError as error:
            raise DataError(str(error).replace(str(path), uri)) from None


def _write(inspection: Inspection, shard_mb: int, folder: Path, listener: Listener) -> Manifest:
    listener.start("write shards", sum(map(len, inspection.splits.values())))
    written = {
        split: write_split(entries, folder, shard_mb * 1_000_000, listener)
        for split, entries in inspection.splits.items()
    }
    return write_manifest(inspection.legend, written, inspection.annotations, folder)


def _draw(report: dict[str, Any], manifest: Manifest, folder: Path) -> None:
    """The views: the report as JSON, how labels are distributed, and a few labelled images."""
    (folder / REPORT).write_text(json.dumps({"dataset": manifest.digest, **report}, indent=2) + "\n")
    dataset = open_dataset(folder)
    splits = [dataset.split(name) for name in dataset.splits]
    draw_statistics(splits, dataset.names, folder / STATISTICS, dataset.legend.whole)
    draw_samples(
        dataset.split("train" if "train" in dataset.splits else dataset.splits[0]), dataset.names, folder / SAMPLES
    )
