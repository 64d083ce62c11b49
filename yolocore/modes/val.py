"""val: measure a model on a split of a dataset."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolocore.config import ValConfig
from yolocore.data import open_dataset
from yolocore.data.dataset import Split
from yolocore.detections import Classification, Detections
from yolocore.evaluate import Metrics, detect_split, in_classes_of, known_labels, measure
from yolocore.evaluate.coco import coco_results
from yolocore.evaluate.pictures import draw_predictions
from yolocore.evaluate.plots import draw_metrics
from yolocore.memory import reused_memory
from yolocore.modes.chosen import chosen
from yolocore.modes.inputs import ValInputs, model_digest
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import CONFUSION, ValRecord
from yolocore.runtimes.detector import TRITON_SCHEMES, Detector, check_task, engine_versions, open_detector

PREDICTIONS, PICTURES = "predictions.json", "predictions.jpg"


def val(config: ValConfig, inputs: ValInputs, out: Path, listener: Listener = SILENT) -> ValRecord:
    """Run the model over the split and leave figures, curves, pictures, and what it found in COCO's form.

    Raises DataError (dataset, split or an image, or labels of another task), ModelError (also where the model
    is not for `config.task`), ServiceError, StorageError, and UsageError for settings that a served model was not
    built with and for classes that the dataset hasn't.
    """
    dataset = open_dataset(inputs.data)
    split = dataset.split(config.split)
    digests = {"model": model_digest(inputs.model), "data": split.digest}
    with Step(ValRecord, config, digests, out) as step, reused_memory():
        if step.finished:
            return step.finished
        detector = open_detector(inputs.model, config.device, config.half)
        check_task(inputs.model, detector.meta, config.task)
        dataset.check_task(detector.meta.task, detector.meta.keypoints)
        images = chosen(dataset, config.split, detector.meta.task, config)
        images = in_classes_of(detector, dataset, images, listener)
        known = detector.meta.names
        names = dataset.names if len(dataset.names) == len(known) else known
        served = inputs.model.startswith(TRITON_SCHEMES)
        found, metrics, views, seconds = examine(
            detector, images, names, config, step.work / PICTURES, listener, multi_label=not served
        )
        (step.work / PREDICTIONS).write_text(coco_results(found, images.names))
        (step.work / CONFUSION).write_text(_confusion(metrics))
        return step.publish(
            metrics={"images": metrics.images, "objects": int(metrics.objects.sum()), **metrics.summary()},
            artifacts={"predictions": PREDICTIONS},
            views=[*views, CONFUSION],
            versions=engine_versions(inputs.model),
            timings={"images_per_second": len(images) / seconds, **detector.timings.milliseconds()},
            per_class=metrics.per_class(),
        )


def _confusion(metrics: Metrics) -> str:
    """Counts by true class (rows) and predicted one, the last of detection's is 'nothing'; and how scores tell."""
    others = ["nothing"] if len(metrics.confusion) > len(metrics.names) else []
    roc = metrics.roc
    points = np.stack([roc.false_positive_rate, roc.true_positive_rate, roc.confidences], axis=1).round(6)
    counts = metrics.confusion.T.tolist()
    return json.dumps({"classes": [*metrics.names, *others], "matrix": counts, "roc": points.tolist()})


class Examined(NamedTuple):
    """found: in every image of the split. views: files of the pictures. seconds: for finding alone."""

    found: Sequence[Detections] | Sequence[Classification]
    metrics: Metrics
    views: list[str]
    seconds: float


def examine(
    detector: Detector,
    split: Split,
    names: Sequence[str],
    config: ValConfig,
    picture: Path,
    listener: Listener,
    *,
    multi_label: bool = True,
) -> Examined:
    """Run a detector over a split, measure what it found, and draw figures and examples.

    names: of the classes. picture: the file of the examples; the figures' lie beside it. Other parameters and
    errors as in `known_labels` and `detect_split`.
    """
    labels = known_labels(split, names)
    started = time.perf_counter()
    found = detect_split(detector, split, config, listener, multi_label=multi_label)
    seconds = time.perf_counter() - started
    metrics = measure(found, labels, names, config.max_det, detector.meta.task)
    draw_predictions(split, found, names, picture)
    return Examined(found, metrics, [picture.name, *draw_metrics(metrics, picture.parent)], seconds)
