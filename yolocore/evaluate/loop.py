"""The one loop that runs a detector over a split: validation, training's check, deployment's verification.

Images are taken in order of their shape, so that a batch needs little border; the results come back in
the split's own order, whatever the batches were.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from yolocore.config import ValConfig
from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.detections import Classification, Detections
from yolocore.errors import DataError
from yolocore.evaluate.classes import known_labels
from yolocore.evaluate.metrics import Metrics, measure
from yolocore.progress import SILENT, Listener
from yolocore.runtimes.detector import Detector

_DECODERS = 2  # threads that decode the next batch while the network works on this one
_CONTEXT = 0.5  # strides of extra border: objects at an image's edge are found a little better


def evaluate(
    detector: Detector, split: Split, config: ValConfig, listener: Listener = SILENT, *, multi_label: bool = True
) -> Metrics:
    """Run the detector over the split and measure what it found, as its task wants it.

    Of config, the settings of detection are used; which split and device is the caller's business.
    Parameters and errors as in `known_labels` and `detect_split`.
    """
    labels = known_labels(split, detector.meta.names)
    found = detect_split(detector, split, config, listener, multi_label=multi_label)
    return measure(found, labels, detector.meta.names, config.max_det, detector.meta.task)


def detect_split(
    detector: Detector, split: Split, config: ValConfig, listener: Listener = SILENT, *, multi_label: bool = True
) -> list[Detections] | list[Classification]:
    """What is found in every image of the split, in its order: a Classification where that is the model's task.

    multi_label: every class above conf counts, as AP wants it; served models give the best class only.
    Masks are packed: as pictures, those of a large split would not fit in memory.
    Raises DataError for a split without images and for a broken image.
    """
    if not len(split):
        raise DataError("the split has no images; choose another one")
    batches = batches_of(split, config.batch)
    results: list[Any] = [None] * len(split)

    def decode(index: int) -> npt.NDArray[np.uint8]:
        return decode_image(split.image(index), split.where(index))

    def find(images: list[npt.NDArray[np.uint8]]) -> Sequence[Detections] | Sequence[Classification]:
        if detector.meta.task == "classify":
            return detector.classify(images, imgsz=config.imgsz)
        found = detector.detect(
            images,
            conf=config.conf,
            iou=config.iou,
            max_det=config.max_det,
            multi_label=multi_label,
            imgsz=config.imgsz,
            rect=config.rect,
            pad=_CONTEXT,
        )
        return [each if each.masks is None else replace(each, masks=each.masks.packed()) for each in found]

    listener.start("detect", len(split))
    with ThreadPoolExecutor(_DECODERS) as pool:
        coming: list[Future[npt.NDArray[np.uint8]]] = [pool.submit(decode, index) for index in batches[0]]
        for indices, following in zip(batches, [*batches[1:], []], strict=True):
            images = [job.result() for job in coming]
            coming = [pool.submit(decode, index) for index in following]
            for index, found in zip(indices, find(images), strict=True):
                results[index] = found
            listener.advance(len(indices))
    return results


def batches_of(split: Split, size: int) -> list[list[int]]:
    """Numbers of the images in each batch, those of like shape together."""
    order = np.argsort(split.sizes[:, 0] / split.sizes[:, 1], kind="stable").tolist()
    return [order[start : start + size] for start in range(0, len(order), size)]
