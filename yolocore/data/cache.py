"""Decoded images in memory, no larger than training needs them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import psutil

from yolocore.data.augment import Sample
from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.data.objects import Objects
from yolocore.meta import Task

CGROUP = Path("/sys/fs/cgroup")  # of a container, seen from inside
CROP_DETAIL = 2  # a classifier's random crops show parts: shorter sides are kept at this many times the picture's


class SampleCache:
    """Samples of a split for a task; the least recently used make room.

    side: of the largest pictures that are made of them, in pixels. limit: bytes of pixels kept.
    keypoints: of an object.
    """

    def __init__(self, split: Split, side: int, limit: int, task: Task = "detect", keypoints: int = 0) -> None:
        self._split = split
        self._side = side
        self._room = limit
        self._task: Task = task
        self._keypoints = keypoints
        self._samples: OrderedDict[int, Sample] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int) -> Sample:
        """Raises DataError that names a broken image."""
        with self._lock:
            if index in self._samples:
                self._samples.move_to_end(index)
                return self._samples[index]
        sample = self._read(index)
        with self._lock:
            if index not in self._samples:
                self._samples[index] = sample
                self._room -= sample.image.nbytes
            while self._room < 0:
                _, oldest = self._samples.popitem(last=False)
                self._room += oldest.image.nbytes
        return sample

    def _read(self, index: int) -> Sample:
        height, width = (int(side) for side in self._split.sizes[index])
        if self._task == "classify":
            gain = CROP_DETAIL * self._side / min(height, width)
        else:
            gain = self._side / max(height, width)
        reduction = next((factor for factor in (8, 4, 2) if factor <= int(1 / gain)), 1)
        image = decode_image(self._split.image(index), self._split.where(index), reduction)
        if gain < 1:
            shape = max(round(width * gain), 1), max(round(height * gain), 1)
            image = cv2.resize(image, shape, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        labels = self._split.labels(index)
        return Sample(image, (height, width), Objects.of(labels, self._task, self._keypoints))


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of its container where that has less."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (CGROUP / "memory.max").read_text(), (CGROUP / "memory.current").read_text()
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
