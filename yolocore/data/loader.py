"""Batches of augmented training pictures, the same ones for any number of workers.

The randomness of a picture is a pure function of (seed, epoch, index), so the batches of an epoch can be
made in any order, by anybody, and from any position on after a resume.

Workers are threads: decoding, warping and colour all happen in OpenCV, outside Python's global lock.
They need no shared-memory segment (/dev/shm is 64 MB in many containers), no pickling and no fork
beside a running CUDA context, and they share one cache of decoded images.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import psutil

from yolocore.config.tree import TrainConfig
from yolocore.data.augment import Sample, augment
from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.meta import Task

# The other three pictures of a mosaic are drawn from this many before it in the epoch's order: random
# enough, since the order is, and a cache of as many images then serves data that does not fit in memory.
NEIGHBOURS = 256
CACHE_SHARE = 0.25  # of the memory that is free when training starts
CGROUP = Path("/sys/fs/cgroup")  # of a container, seen from inside
PREFETCH = 2  # batches in the making beside the one in use


@dataclass(frozen=True, eq=False)
class Batch:
    """Pictures, and the objects in them as one table; the objects of a picture are consecutive rows.

    images: (b, h, w, 3) uint8, RGB.
    image: (n,) int64 index in the batch. classes: (n,) int64. boxes: (n, 4) float32 xyxy pixels.
    masks (segment): (b, h/4, w/4) int16, in each pixel 1 + the row of its object among those of its picture,
    0 where there is none; a smaller object lies on top of a larger one.
    keypoints (pose): (n, K, 3) float32 x y in pixels and visibility (0 not labelled or outside, 1 hidden, 2 visible).
    rotated (obb): (n, 5) float32 x y w h in pixels, angle in radians.
    classify: one row a picture, whose box is the whole of it.
    """

    images: npt.NDArray[np.uint8]
    image: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    masks: npt.NDArray[np.int16] | None = None
    keypoints: npt.NDArray[np.float32] | None = None
    rotated: npt.NDArray[np.float32] | None = None


class TrainLoader:
    """Batches of a split for a task. A context manager: it owns the worker threads.

    flip_idx: which keypoint each keypoint becomes in a mirror image; empty: none changes.
    share: (rank, ranks) of processes that divide every batch; each gets its own run of the batch's pictures.
    """

    def __init__(
        self,
        split: Split,
        config: TrainConfig,
        task: Task = "detect",
        flip_idx: Sequence[int] = (),
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._config = config
        self._task = task
        self._flip_idx = tuple(flip_idx)
        self._rank, self._ranks = share
        self._images = len(split)
        self._cache = SampleCache(split, config.imgsz, int(free_memory() * CACHE_SHARE))
        # Without workers the main thread waits while the one thread works: nothing runs beside it.
        self._pool = ThreadPoolExecutor(max(config.workers, 1), "batches")
        self._prefetch = PREFETCH if config.workers else 0

    def __enter__(self) -> TrainLoader:
        # Parallelism is over pictures; OpenCV's own threads would only compete with it.
        self._opencv_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(self._opencv_threads)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self._images / self._config.batch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (from 0), from number `start` on. Raises DataError for a broken image.

        The images are divided evenly, so that no step rests on the statistics of a few left over.
        """
        order = np.random.default_rng((self._config.seed, epoch)).permutation(self._images)
        waiting: deque[_Pending] = deque()
        for positions in np.array_split(np.arange(self._images), len(self))[start:]:
            waiting.append(self._submit(order, epoch, np.array_split(positions, self._ranks)[self._rank]))
            if len(waiting) > self._prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _submit(self, order: npt.NDArray[np.int64], epoch: int, positions: npt.NDArray[np.int64]) -> _Pending:
        side = self._config.imgsz
        images = np.empty((len(positions), side, side, 3), np.uint8)
        pictures = [
            self._pool.submit(self._compose, order, epoch, int(position), out)
            for position, out in zip(positions, images, strict=True)
        ]
        return _Pending(images, pictures)

    def _compose(self, order: npt.NDArray[np.int64], epoch: int, position: int, out: npt.NDArray[np.uint8]) -> _Objects:
        """Draw the picture at a position of the epoch's order into `out`."""
        config = self._config
        # + 1, because numpy's seeds (a, b) and (a, b, 0) are the same.
        rng = np.random.default_rng((config.seed, epoch, int(order[position]) + 1))
        positions = [position]
        if epoch < config.epochs - config.close_mosaic and rng.random() < config.mosaic:
            back = rng.integers(min(NEIGHBOURS, self._images), size=3)
            positions += (position - 1 - back).tolist()  # below zero: from the end of the order
        return augment([self._cache.get(int(order[p])) for p in positions], out, config, rng)


_Objects = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class _Pending:
    """A batch whose pictures are being drawn."""

    images: npt.NDArray[np.uint8]
    pictures: list[Future[_Objects]]

    def result(self) -> Batch:
        classes, boxes = zip(*[picture.result() for picture in self.pictures], strict=True)
        image = np.repeat(np.arange(len(classes)), [len(c) for c in classes])
        return Batch(self.images, image, np.concatenate(classes), np.concatenate(boxes))


class SampleCache:
    """Decoded samples, no larger than training needs them; the least recently used make room.

    side: longer side in pixels that images are reduced to. limit: bytes of pixels kept.
    """

    def __init__(self, split: Split, side: int, limit: int) -> None:
        self._split = split
        self._side = side
        self._room = limit
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
        larger = max(height, width) // self._side
        reduction = next(factor for factor in (8, 4, 2, 1) if factor <= max(larger, 1))
        image = decode_image(self._split.image(index), self._split.names[index], reduction)
        gain = self._side / max(height, width)
        if gain < 1:
            shape = max(round(width * gain), 1), max(round(height * gain), 1)
            image = cv2.resize(image, shape, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        return Sample(image, (height, width), self._split.labels(index))


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of its container where that has less."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (CGROUP / "memory.max").read_text(), (CGROUP / "memory.current").read_text()
        return min(free, int(limit) - int(used))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
