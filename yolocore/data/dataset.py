"""A dataset as everybody else sees it: class names and splits of images with labels.

It is opened from the folder that `ingest` wrote (manifest and shards) or straight from a plain folder, in
YOLO form or of class folders. Both give the same images, labels and digests, so that a model can be trained
from either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from yolocore.data.images import image_size
from yolocore.data.labels import HARMLESS, Labels, check, labels_json
from yolocore.data.legend import NEEDS, Legend, in_order, tasks_for
from yolocore.data.shards import MANIFEST, Manifest, ShardSplit, dataset_digest, split_digest
from yolocore.data.sources import PLAIN, Sample, Source, label_path, open_source
from yolocore.errors import DataError
from yolocore.meta import KeypointShape, Task
from yolocore.store import bytes_digest

_THREADS = 8  # reading headers waits for the disk more than for the processor


class Split(Protocol):
    """The images of one split, in order of their names. It may be pickled and used after a fork.

    names: file name of each image. sizes: (n, 2) int32, height and width.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def sizes(self) -> npt.NDArray[np.int32]: ...
    @property
    def digest(self) -> str:
        """'sha256:…' over names, image bytes and labels; the same for a plain folder and its shards."""

    def __len__(self) -> int: ...
    def image(self, index: int) -> bytes | memoryview:
        """The encoded image, byte for byte as it came. Raises DataError for one that is damaged or gone."""

    def where(self, index: int) -> str:
        """What an error calls the image: its path, or its shard's and its name."""

    def labels(self, index: int) -> Labels: ...


class Dataset:
    """Classes and splits. `split` opens one; opening the dataset itself reads next to nothing."""

    _looked = ""

    def __init__(
        self,
        path: Path,
        legend: Legend,
        splits: Mapping[str, Callable[[], Split]],
        annotations: Sequence[str],
        digest: str,
    ) -> None:
        self.path = path
        self.legend = legend
        self._openers = dict(splits)
        self._annotations = tuple(annotations)
        self._digest = digest
        self._opened: dict[str, Split] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return self.legend.names

    @property
    def keypoints(self) -> KeypointShape | None:
        """How many keypoints an object has and the numbers that the source gives for each; None without any."""
        return self.legend.keypoints

    @property
    def flip_idx(self) -> tuple[int, ...]:
        """For each keypoint the one that takes its place in a mirrored image, UNKNOWN where the source says none;
        empty without keypoints."""
        return self.legend.flip_idx

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._openers)

    @property
    def annotations(self) -> tuple[str, ...]:
        """Kinds of labels that any object has, of boxes, polygons, keypoints and corners; or classes alone."""
        return self._annotations

    @property
    def digest(self) -> str:
        """'sha256:…' over the legend and the splits' digests."""
        return self._digest

    def split(self, name: str) -> Split:
        """Raises DataError for a name that the dataset does not have."""
        if name not in self._openers:
            raise DataError(f"{self.path}: has no split {name!r}; it has {', '.join(self.splits)}; give one of these")
        if name not in self._opened:
            self._opened[name] = self._openers[name]()
        return self._opened[name]

    def check_task(self, task: Task, keypoints: KeypointShape | None = None) -> None:
        """Make sure that the labels serve a task; keypoints: the shape that the model has, if it is known.

        Raises DataError when they do not.
        """
        kinds, remedy = NEEDS[task]
        if not set(kinds) & set(self.annotations):
            present = ", ".join(self.annotations)
            found = f"only {present}" if present else f"not even an object{self._looked}"
            tasks = tasks_for(self.annotations)
            others = " or ".join(filter(None, (", ".join(tasks[:-1]), *tasks[-1:])))
            instead = f", or use task={others} and a model for it" if tasks else ""
            raise DataError(f"{self.path}: has no labels for task={task}, {found}; {remedy}{instead}")
        if task == "pose" and keypoints and self.keypoints != keypoints:
            raise DataError(
                f"{self.path}: its keypoints have the shape {_shape(self.keypoints)}, the model's {_shape(keypoints)}; "
                "use a model that was made for these keypoints, or data with the model's"
            )


class PlainDataset(Dataset):
    """A dataset that was not ingested: what kinds of labels it has, and its digest, are known when it is read.

    looked: where labels were looked for, as an addition to a message that there are none.
    """

    def __init__(self, path: Path, legend: Legend, splits: Mapping[str, Callable[[], PlainSplit]], looked: str) -> None:
        super().__init__(path, legend, splits, (), "")
        self._looked = looked

    def split(self, name: str) -> PlainSplit:
        split = super().split(name)
        assert isinstance(split, PlainSplit)
        return split

    @cached_property
    def annotations(self) -> tuple[str, ...]:
        return in_order({kind for name in self.splits for kind in self.split(name).annotations})

    @cached_property
    def digest(self) -> str:
        return dataset_digest(self.legend, {name: self.split(name).digest for name in self.splits})


def open_dataset(path: str | Path) -> Dataset:
    """Open the folder of an ingest step, a `dataset.yaml` in YOLO form, a folder that holds one, or class folders.

    Raises DataError that says what is missing or wrong.
    """
    if not str(path):  # which Path would take for the folder that we are in
        raise DataError("data=: is empty; give an ingested dataset, a dataset.yaml or class folders")
    path = Path(path)
    if not path.exists():
        raise DataError(f"data={path}: no such file or folder; give an ingested dataset or a dataset.yaml")
    return _open_shards(path) if (path / MANIFEST).is_file() else _open_plain(path)


class PlainSplit:
    """A split of a folder that was not ingested. Raises DataError for a broken image header or label.

    annotations: the kinds of labels that any of its objects has.
    """

    def __init__(self, source: Source, samples: Sequence[Sample]) -> None:
        self.names = tuple(sample.name for sample in samples)
        self._paths = tuple(sample.path for sample in samples)

        def read(sample: Sample) -> tuple[tuple[int, int], bytes, Counter[str]]:
            size = image_size(sample.path)
            instances, problems = source.annotate(sample, size)
            usable, more = check(instances, size, source.legend.names)
            invalid = [problem for problem in (*problems, *more) if problem.kind not in HARMLESS]
            if invalid:
                raise DataError(f"{source.root}/{invalid[0]}")
            return size, labels_json(usable, size), source.legend.annotations(usable)

        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(read, samples))
        self.sizes = np.array([size for size, _, _ in found], np.int32).reshape(-1, 2)
        self._labels = [labels for _, labels, _ in found]
        self.annotations = {kind for _, _, annotations in found for kind in annotations}

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> bytes:
        try:
            return self._paths[index].read_bytes()
        except OSError as error:
            raise DataError(f"{self._paths[index]}: cannot be read ({error.strerror}); restore the file") from None

    def where(self, index: int) -> str:
        return str(self._paths[index])

    def labels(self, index: int) -> Labels:
        return Labels.from_json(self._labels[index])

    @cached_property
    def digest(self) -> str:
        with ThreadPoolExecutor(_THREADS) as pool:
            images = pool.map(lambda index: bytes_digest(self.image(index)), range(len(self)))
            return split_digest(zip(self.names, images, map(bytes_digest, self._labels), strict=True))


def _open_shards(path: Path) -> Dataset:
    manifest = Manifest.load(path)
    openers = {name: partial(ShardSplit, path, split) for name, split in manifest.splits.items()}
    return Dataset(path, manifest.legend, openers, manifest.annotations, manifest.digest)


def _open_plain(path: Path) -> Dataset:
    source = open_source(path, PLAIN)
    splits: dict[str, list[Sample]] = {}
    for sample in source.samples:
        if sample.split is None:
            raise DataError(f"{path}: names no splits; ingest it first, or give it train: and val:, or train/ and val/")
        splits.setdefault(sample.split, []).append(sample)
    openers = {name: partial(PlainSplit, source, found) for name, found in splits.items()}
    image = source.samples[0].path
    looked = f" (those of {image.name} belong in {label_path(image)}; boxes without area do not count)"
    return PlainDataset(path, source.legend, openers, looked)


def _shape(keypoints: KeypointShape | None) -> str:
    return f"{keypoints[0]}x{keypoints[1]}" if keypoints else "none"
