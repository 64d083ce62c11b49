"""Batches of augmented training pictures, the same ones for any number of workers.

The randomness of a picture is a pure function of (seed, epoch, index), so the batches of an epoch can be
made in any order, by anybody, and from any position on after a resume.

Workers are threads: decoding, drawing and colour all happen in OpenCV, outside Python's global lock.
They need no shared-memory segment (/dev/shm is 64 MB in many containers), no pickling and no fork
beside a running CUDA context, and they share one cache of decoded images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.config.tree import TrainConfig
from yolocore.data import classify
from yolocore.data.augment import Sample, augment, without_composition, without_mirrors
from yolocore.data.cache import SampleCache, free_memory
from yolocore.data.dataset import Split
from yolocore.data.geometry import Shape
from yolocore.data.legend import UNKNOWN
from yolocore.data.objects import MASK_STRIDE, Objects
from yolocore.data.plan import Index, Run, batch_count, largest_side, plan_epoch
from yolocore.meta import Task
from yolocore.rotated import from_corners

# The other pictures of a mosaic or a blend are drawn from this many before it in the epoch's order: random
# enough, since the order is, and a cache of as many images then serves data that does not fit in memory.
NEIGHBOURS = 256
CACHE_SHARE = 0.25  # of the memory that is free when training starts
Empty = Callable[[tuple[int, ...], type[np.uint8]], npt.NDArray[np.uint8]]
PREFETCH = 2


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """The objects of the b pictures of a batch; those of a picture are consecutive rows.

    image: (n,) int64 index in the batch. classes: (n,) int64. boxes: (n, 4) float32 xyxy pixels.
    masks (segment): (b, h/4, w/4) int16, in each pixel 1 + the row of its object among those of its picture,
    0 where there is none; a smaller object lies on top of a larger one, a pasted one on top of all others.
    keypoints (pose): (n, K, 3) float32 x y in pixels and visibility (0 not labelled or outside, 1 hidden, 2 visible).
    rotated (obb): (n, 5) float32 x y w h in pixels, angle in radians.
    classify: one row a picture, whose box is the whole of it.
    """

    image: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float32]
    masks: npt.NDArray[np.int16] | None = None
    keypoints: npt.NDArray[np.float32] | None = None
    rotated: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(cls, pictures: Sequence[Objects], masks: npt.NDArray[np.int16] | None = None) -> ObjectTable:
        """Those of several pictures of one task; masks: as painted from them."""
        objects = Objects.joined(pictures)
        return cls(
            np.repeat(np.arange(len(pictures)), [len(each) for each in pictures]),
            objects.classes,
            objects.boxes.astype(np.float32),
            masks,
            None if objects.keypoints is None else objects.keypoints.astype(np.float32),
            None if objects.corners is None else from_corners(objects.corners).astype(np.float32),
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """images: (b, h, w, 3) uint8, RGB. objects: what they show."""

    images: npt.NDArray[np.uint8]
    objects: ObjectTable


class TrainLoader:
    """Batches of a split for a task. A context manager: it owns the worker threads.

    flip_idx (pose): for each keypoint, the one whose place it takes in a mirror image; pictures are mirrored where
    that is known.
    share: (rank, ranks) of processes that divide every batch; each gets its own run of the batch's pictures.
    empty: makes the memory of a batch's pictures, as numpy.empty does. prefetch: batches in the making beside the
    one in use. cache_share: of the free memory for decoded images, of all ranks together.
    """

    def __init__(
        self,
        split: Split,
        config: TrainConfig,
        task: Task = "detect",
        flip_idx: Sequence[int] = (),
        share: tuple[int, int] = (0, 1),
        *,
        empty: Empty = np.empty,
        prefetch: int = PREFETCH,
        cache_share: float = CACHE_SHARE,
    ) -> None:
        self._empty = empty
        if task == "classify":  # its network sees squares in inference, too
            config = config.model_copy(update={"rect": False})
        if task == "pose" and UNKNOWN in flip_idx:
            config = without_mirrors(config)
        self._config = without_composition(config) if config.rect else config
        self._task: Task = task
        self._flip_idx = tuple(flip_idx)
        self._rank, self._ranks = share
        self._sizes = split.sizes
        room = int(free_memory() * cache_share / self._ranks)
        self._cache = SampleCache(split, largest_side(config), room, task, len(self._flip_idx))
        # Without workers the main thread waits while the one thread works: nothing runs beside it.
        self._pool = ThreadPoolExecutor(max(config.workers, 1), "batches", _allow_fast_resize)
        self._prefetch = prefetch if config.workers else 0

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
        return batch_count(len(self._sizes), self._config)

    def epoch(self, epoch: int, start: int = 0, step: int = 1) -> Iterator[Batch]:
        """Each step-th batch of an epoch (from 0), from number `start` on. Raises DataError for a broken image."""
        config = self._config
        if epoch >= config.epochs - config.close_mosaic:
            config = without_composition(config)
        runs = plan_epoch(self._sizes, config, epoch)
        artist = _Artist(config, epoch, np.concatenate([run.images for run in runs]), self._cache, self._flip_idx)
        waiting: deque[_Pending] = deque()
        for run in runs[start::step]:
            waiting.append(self._submit(artist, run))
            if len(waiting) > self._prefetch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _submit(self, artist: _Artist, run: Run) -> _Pending:
        places = np.array_split(np.arange(len(run.images)) + run.first, self._ranks)[self._rank]
        images = self._empty((len(places), *run.shape, 3), np.uint8)
        masks = empty_masks(len(places), run.shape) if self._task == "segment" else None
        paint = artist.classify if self._task == "classify" else artist.compose
        pictures = [
            self._pool.submit(paint, place, out, None if masks is None else masks[row])
            for row, (place, out) in enumerate(zip(places.tolist(), images, strict=True))
        ]
        return _Pending(images, masks, pictures)


def empty_masks(count: int, shape: Shape) -> npt.NDArray[np.int16]:
    """What the objects of `count` pictures of a shape are painted into."""
    return np.zeros((count, *(side // MASK_STRIDE for side in shape)), np.int16)


def _allow_fast_resize() -> None:
    """Let OpenCV resize in this thread with Intel's library where it has it: twice as fast, off by one at most."""
    cv2.ipp.setUseIPP_NotExact(True)


@dataclass(frozen=True, eq=False)
class _Artist:
    """Makes the pictures of an epoch. order: the images as they come."""

    config: TrainConfig
    epoch: int
    order: Index
    cache: SampleCache
    flip_idx: tuple[int, ...]

    def compose(self, place: int, out: npt.NDArray[np.uint8], masks: npt.NDArray[np.int16] | None) -> Objects:
        """Draw the picture at a place of the order, and where wanted the masks of its objects."""
        rng = self._randomness(place)
        layers = [self._layer(place, rng)]
        if self.config.mixup and rng.random() < self.config.mixup:
            layers.append(self._layer(self._neighbours(place, 1, rng)[0], rng))
        objects = augment(layers, out, self.config, rng, self.flip_idx)
        if masks is not None:
            objects.paint(masks)
        return objects

    def classify(self, place: int, out: npt.NDArray[np.uint8], _: None) -> Objects:
        """Draw the picture at a place of the order for a classifier."""
        sample = self.cache.get(int(self.order[place]))
        classify.augment(sample.image, out, self.config, self._randomness(place))
        height, width = out.shape[:2]
        return Objects(sample.objects.classes, np.array([[0.0, 0, width, height]]))

    def _randomness(self, place: int) -> np.random.Generator:
        # + 1, because numpy's seeds (a, b) and (a, b, 0) are the same.
        return np.random.default_rng((self.config.seed, self.epoch, int(self.order[place]) + 1))

    def _layer(self, place: int, rng: np.random.Generator) -> list[Sample]:
        """One sample, or the four of a mosaic."""
        places = [place]
        if self.config.mosaic and rng.random() < self.config.mosaic:
            places += self._neighbours(place, 3, rng)
        return [self.cache.get(int(self.order[p])) for p in places]

    def _neighbours(self, place: int, count: int, rng: np.random.Generator) -> list[int]:
        """Random places of those shortly before; before the first comes the last."""
        back = rng.integers(min(NEIGHBOURS, len(self.order)), size=count)
        return ((place - 1 - back) % len(self.order)).tolist()


@dataclass(frozen=True, eq=False)
class _Pending:
    """A batch whose pictures are being drawn."""

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.int16] | None
    pictures: list[Future[Objects]]

    def result(self) -> Batch:
        return Batch(self.images, ObjectTable.of([picture.result() for picture in self.pictures], self.masks))
