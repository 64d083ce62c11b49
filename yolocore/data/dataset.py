"""A dataset as everybody else sees it: class names and splits of images with labels.

It is opened from the folder that `ingest` wrote (manifest and shards) or straight from a plain YOLO
folder. Both give the same images, labels and digests, so that a model can be trained from either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from yolocore.data.images import image_size
from yolocore.data.labels import HARMLESS, Labels, check, labels_json
from yolocore.data.shards import MANIFEST, Manifest, ShardSplit, dataset_digest, split_digest
from yolocore.data.sources import Sample, Source, open_source
from yolocore.errors import DataError
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
        """The encoded image, byte for byte as it came."""

    def labels(self, index: int) -> Labels: ...


class Dataset:
    """Class names and splits. `split` opens one; opening the dataset itself reads next to nothing."""

    def __init__(
        self, path: Path, names: Sequence[str], splits: Mapping[str, Callable[[], Split]], digest: str | None = None
    ) -> None:
        """digest: the dataset's where it is known already."""
        self.path = path
        self.names = tuple(names)
        self._openers = dict(splits)
        self._known_digest = digest
        self._opened: dict[str, Split] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._openers)

    @cached_property
    def digest(self) -> str:
        """'sha256:…' over class names and the splits' digests."""
        if self._known_digest:
            return self._known_digest
        return dataset_digest(self.names, {name: self.split(name).digest for name in self.splits})

    def split(self, name: str) -> Split:
        """Raises DataError for a name that the dataset does not have."""
        if name not in self._openers:
            raise DataError(f"{self.path}: has no split {name!r}; it has {', '.join(self.splits)}")
        if name not in self._opened:
            self._opened[name] = self._openers[name]()
        return self._opened[name]


def open_dataset(path: str | Path) -> Dataset:
    """Open the folder of an ingest step, a `dataset.yaml` in YOLO form, or a folder that holds one.

    Raises DataError that says what is missing or wrong.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"data={path}: no such file or folder; give an ingested dataset or a dataset.yaml")
    return _open_shards(path) if (path / MANIFEST).is_file() else _open_plain(path)


class PlainSplit:
    """A split of a folder that was not ingested. Raises DataError for a broken image header or label."""

    def __init__(self, source: Source, samples: Sequence[Sample]) -> None:
        self.names = tuple(sample.name for sample in samples)
        self._paths = tuple(sample.path for sample in samples)

        def read(sample: Sample) -> tuple[tuple[int, int], bytes]:
            size = image_size(sample.path)
            instances, problems = source.annotate(sample, size)
            usable, more = check(instances, size, source.names)
            invalid = [problem for problem in (*problems, *more) if problem.kind not in HARMLESS]
            if invalid:
                raise DataError(f"{source.root}/{invalid[0]}")
            return size, labels_json(usable, size)

        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(read, samples))
        self.sizes = np.array([size for size, _ in found], np.int32).reshape(-1, 2)
        self._labels = [labels for _, labels in found]

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> bytes:
        try:
            return self._paths[index].read_bytes()
        except OSError as error:
            raise DataError(f"{self._paths[index]}: cannot be read ({error.strerror}); restore the file") from None

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
    return Dataset(path, manifest.names, openers, manifest.digest)


def _open_plain(path: Path) -> Dataset:
    source = open_source(path, "yolo")
    splits: dict[str, list[Sample]] = {}
    for sample in source.samples:
        if sample.split is None:
            raise DataError(f"{path}: names no splits; ingest it first, or say train: and val: in its yaml")
        splits.setdefault(sample.split, []).append(sample)
    return Dataset(path, source.names, {name: partial(PlainSplit, source, found) for name, found in splits.items()})
