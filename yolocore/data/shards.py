"""A dataset at rest: a manifest of a few kB and uncompressed tar shards named by their digest.

A shard holds each image byte for byte as it came, its labels beside it as `NAME.json`, and an index with
the images' digests as last member. The manifest says where the index lies, so opening a shard is one small
read; images are then slices of the mapped file and are never unpacked. `tar xf` unpacks one all the same.

Members are sorted, owners and times are zero: the same content gives the same bytes anywhere. Where one
shard ends is decided by the names and sizes in it (content-defined chunking as in rsync and LBFS), so a
changed or added image changes its own shard and seldom the next one.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from yolocore.config import canonical_json
from yolocore.data.labels import Labels
from yolocore.data.legend import Legend
from yolocore.errors import DataError
from yolocore.meta import KeypointShape
from yolocore.progress import SILENT, Listener
from yolocore.store import bytes_digest, json_digest, write_atomic

MANIFEST = "manifest.json"
FOLDER = "shards"
_INDEX = "index.json"
_BLOCK = tarfile.BLOCKSIZE
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Entry:
    """An image that was checked and is ready to be written.

    digest, length: of the image's bytes. size: (height, width). labels: canonical JSON.
    """

    name: str
    path: Path
    digest: str
    length: int
    size: tuple[int, int]
    labels: bytes


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(_Document):
    """digest: of the whole file, which is `shards/<hex>.tar`. index: offset and length of its index."""

    digest: str
    bytes: int
    images: int
    index: tuple[int, int]

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.digest.removeprefix('sha256:')}.tar"


class ShardedSplit(_Document):
    """digest: of names, images and labels, whatever shards they lie in."""

    digest: str
    images: int
    shards: tuple[Shard, ...]


class Manifest(_Document):
    """annotations: what is known of the objects: boxes, and where any has them polygons, keypoints, corners;
    or classes alone, where each image has one. names, keypoints, flip_idx: see `legend.Legend`.
    """

    schema_version: Literal[1] = 1
    digest: str
    annotations: tuple[str, ...]
    names: tuple[str, ...]
    keypoints: KeypointShape | None = None
    flip_idx: tuple[int, ...] = ()
    splits: dict[str, ShardedSplit]

    @cached_property
    def legend(self) -> Legend:
        return Legend(self.names, self.keypoints, self.flip_idx, whole="classes" in self.annotations)

    @model_validator(mode="after")
    def _legend_is_possible(self) -> Self:
        _ = self.legend  # raises ValueError
        return self

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Raises DataError that names the file."""
        path = folder / MANIFEST
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); ingest the dataset again") from None
        except ValidationError as error:
            raise DataError(
                f"{path}: is no manifest of a dataset ({error.errors()[0]['msg']}); ingest it again"
            ) from None


def split_digest(entries: Iterable[tuple[str, str, str]]) -> str:
    """Digest of a split from (image name, digest of the image's bytes, digest of its canonical labels)."""
    return json_digest(sorted(entries))


def dataset_digest(legend: Legend, splits: Mapping[str, str]) -> str:
    """Digest of a dataset from what its labels mean and the digest of each split."""
    content: dict[str, Any] = {"names": legend.names, "splits": dict(splits)}
    if legend.keypoints:
        content |= {"keypoints": legend.keypoints, "flip_idx": legend.flip_idx}
    if legend.whole:
        content["whole"] = True
    return json_digest(content)


def partition(entries: Sequence[Entry], target: int) -> Iterator[list[Entry]]:
    """Cut a split, in order of names, into runs of about `target` bytes: half of it at least, twice at most.

    Past the least size, an image ends its shard with a probability of its own size over half the target,
    drawn from the hash of its name. The decision depends on nothing that lies further off, so that two
    versions of a split soon cut at the same places again after a difference.
    """
    shard: list[Entry] = []
    total = 0
    for entry in sorted(entries, key=lambda e: e.name):
        shard.append(entry)
        total += entry.length + len(entry.labels)
        draw = int.from_bytes(hashlib.sha256(entry.name.encode()).digest()[:8], "big") / 2**64
        if total >= 2 * target or (total >= target / 2 and draw < entry.length / (target / 2)):
            yield shard
            shard, total = [], 0
    if shard:
        yield shard


def write_split(entries: Sequence[Entry], folder: Path, target: int, listener: Listener = SILENT) -> ShardedSplit:
    """Write a split's shards below `folder`; target is their size in bytes. The listener advances by images.

    Raises DataError when an image is no longer what it was when it was checked.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    shards = []
    for run in partition(entries, target):
        shards.append(_write_shard(run, folder))
        listener.advance(len(run))
    return ShardedSplit(
        digest=split_digest((e.name, e.digest, bytes_digest(e.labels)) for e in entries),
        images=len(entries),
        shards=tuple(shards),
    )


def write_manifest(
    legend: Legend, splits: Mapping[str, ShardedSplit], annotations: Sequence[str], folder: Path
) -> Manifest:
    """Write the manifest, which makes the shards in `folder` a dataset."""
    manifest = Manifest(
        digest=dataset_digest(legend, {name: split.digest for name, split in splits.items()}),
        annotations=tuple(annotations),
        names=legend.names,
        keypoints=legend.keypoints,
        flip_idx=legend.flip_idx,
        splits=dict(splits),
    )
    write_atomic(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def _write_shard(entries: Sequence[Entry], folder: Path) -> Shard:
    temporary = folder / FOLDER / ".partial"
    with temporary.open("wb") as file:
        tar = _TarWriter(file)
        index: dict[str, list[Any]] = {"names": [], "sizes": [], "digests": [], "images": [], "labels": []}
        for entry in entries:
            content = entry.path.read_bytes()
            if bytes_digest(content) != entry.digest:
                raise DataError(f"{entry.path}: changed while it was ingested; run again when nobody writes there")
            index["names"].append(entry.name)
            index["sizes"].append(entry.size)
            index["digests"].append(entry.digest)
            index["images"].append(tar.add(entry.name, content))
            index["labels"].append(tar.add(f"{entry.name}.json", entry.labels))
        index_range = tar.add(_INDEX, canonical_json(index))
        tar.write(bytes(2 * _BLOCK))  # end of archive
    shard = Shard(digest=tar.digest, bytes=tar.position, images=len(entries), index=index_range)
    temporary.rename(folder / shard.path)
    return shard


class _TarWriter:
    """Writes tar members (POSIX.1-2001) and knows where each one's content lies and the digest of it all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.position = 0

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._hash.update(content)
        self.position += len(content)

    def add(self, name: str, content: bytes) -> tuple[int, int]:
        """Append a file; returns the offset and length of its content."""
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self.write(info.tobuf(tarfile.PAX_FORMAT))
        offset = self.position
        self.write(content)
        self.write(bytes(-len(content) % _BLOCK))
        return offset, len(content)


class ShardSplit:
    """A split that is read from its shards (see `dataset.Split`).

    Files are mapped when they are first needed, and an image's bytes are compared with their digest when it is first
    read, by each process for itself: a decoder takes many a damaged image for a sound one. Raises DataError for a
    shard that is missing or shorter than the manifest says, and for a damaged image.
    """

    def __init__(self, folder: Path, split: ShardedSplit) -> None:
        self.digest = split.digest
        self._paths = [folder / shard.path for shard in split.shards]
        self._maps: dict[int, mmap.mmap] = {}
        names: list[str] = []
        sizes: list[npt.NDArray[np.int32]] = []
        digests: list[npt.NDArray[np.uint8]] = []
        places: list[npt.NDArray[np.int64]] = []
        for number, (path, shard) in enumerate(zip(self._paths, split.shards, strict=True)):
            index = _read_index(path, shard)
            names += index["names"]
            sizes.append(np.array(index["sizes"], np.int32))
            digests.append(_digest_column(index.get("digests", ["00" * _DIGEST] * shard.images)))
            shard_column = np.full((shard.images, 1), number, np.int64)
            places.append(np.hstack([shard_column, np.array(index["images"]), np.array(index["labels"])]))
        self.names: Sequence[str] = tuple(names)
        self.sizes = np.concatenate(sizes) if sizes else np.zeros((0, 2), np.int32)
        self._places = np.concatenate(places) if places else np.zeros((0, 5), np.int64)
        self._digests = np.concatenate(digests) if digests else _digest_column([])
        self._unchecked = np.asarray(self._digests.any(1))  # early shards have none

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def image(self, index: int) -> memoryview:
        shard, offset, length, _, _ = self._places[index].tolist()
        content = self._view(shard, offset, length)
        if self._unchecked[index]:
            if hashlib.sha256(content).digest() != self._digests[index].tobytes():
                raise DataError(f"{self.where(index)}: is damaged; fetch the shard or ingest again")
            self._unchecked[index] = False
        return content

    def where(self, index: int) -> str:
        return f"{self._paths[int(self._places[index, 0])]}: {self.names[index]}"

    def labels(self, index: int) -> Labels:
        try:
            return Labels.from_json(self.labels_json(index))
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{self.where(index)}: its labels are damaged; fetch the shard or ingest again") from None

    def labels_json(self, index: int) -> memoryview:
        """All that is known of the image's objects, as `labels.labels_json` wrote it."""
        shard, _, _, offset, length = self._places[index].tolist()
        return self._view(shard, offset, length)

    def _view(self, shard: int, offset: int, length: int) -> memoryview:
        if shard not in self._maps:
            with self._paths[shard].open("rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(self._maps[shard])[offset : offset + length]


def _digest_column(digests: Sequence[str]) -> npt.NDArray[np.uint8]:
    """(n, 32) the bytes of digests."""
    text = "".join(digest.removeprefix("sha256:") for digest in digests)
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, _DIGEST)


def _read_index(path: Path, shard: Shard) -> dict[str, Any]:
    try:
        if path.stat().st_size != shard.bytes:
            raise DataError(f"{path}: has {path.stat().st_size} bytes, the manifest says {shard.bytes}; fetch it again")
        with path.open("rb") as file:
            file.seek(shard.index[0])
            index: dict[str, Any] = json.loads(file.read(shard.index[1]))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); fetch the shard or ingest again") from None
    except ValueError:
        raise DataError(f"{path}: is damaged (its index is not readable); fetch the shard or ingest again") from None
    return index
