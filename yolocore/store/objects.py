"""A content-addressed store that the machines of a cluster share: a bucket, or a folder that stands for one.

    objects/ab/abcd…    a file, or the index of a folder, under the sha256 of its bytes
    pointers/NAME       a few characters that may change: where something interrupted lies, how a task has ended
    datasets/HEX.json   that there is a dataset of this digest: who watches the bucket hears of it

A folder's index is the very JSON that `tree_digest` digests, {relative path: digest}: so the index's own digest names
the folder here as it does everywhere else. It is written last; where it is, all that it names is there too. What is
there already is not written again: of a dataset of which 1 % has changed, the shards with that 1 % are.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from yolocore.config.base import canonical_json
from yolocore.errors import DataError, StorageError, UsageError
from yolocore.progress import SILENT, Listener
from yolocore.store.digest import bytes_digest, file_digest, files_below, short
from yolocore.store.publish import replace_folder, storage_errors, write_atomic
from yolocore.store.s3 import CHUNK, s3_client, s3_errors

SETTING = "YOLO_STORE"

_THREADS = 8
_DIGEST = re.compile("sha256:([0-9a-f]{64})")

T = TypeVar("T")
R = TypeVar("R")


def configured() -> ObjectStore | None:
    """The store that YOLO_STORE names, s3://bucket/prefix or a folder; None where it names nothing."""
    place = os.environ.get(SETTING, "")
    return ObjectStore(place) if place else None


class ObjectStore:
    """Raises UsageError for a place that is neither a bucket nor a folder.

    Every call raises ServiceError for a server that is unreachable, and StorageError for a bucket or folder that is
    missing, forbidden or full.
    """

    def __init__(self, place: str) -> None:
        self.place = place if place.endswith("://") else place.rstrip("/") or place
        self._what = f"{SETTING}={self.place}"
        scheme, separator, rest = place.partition("://")
        if separator and (scheme != "s3" or not rest.strip("/")):
            raise UsageError(f"{self._what}: is no place for objects; give s3://bucket/prefix or a folder")
        self._backend: _Backend = _Bucket(self.place, self._what) if separator else _Folder(self.place, self._what)

    def uri(self, digest: str) -> str:
        """Where the object of this digest lies."""
        return f"{self.place}/{_object(digest)}"

    def push(self, folder: Path, parts: Sequence[str] = ("",), listener: Listener = SILENT) -> str:
        """Store the files below a folder, and its index last; returns `tree_digest(folder)`.

        parts: only these files and folders below it. Raises StorageError for a file that changes meanwhile.
        """
        tops = [folder / part for part in parts]
        files = [path for top in tops for path in ([top] if top.is_file() else files_below(top))]
        digests = list(_in_threads(file_digest, files))
        objects = dict(zip(digests, files, strict=True))
        listener.start("store", len(objects))

        def upload(item: tuple[str, Path]) -> None:
            digest, path = item
            if not self._backend.has(_object(digest)):
                self._backend.upload(_object(digest), path, digest)

        for _ in _in_threads(upload, objects.items()):
            listener.advance()
        names = (path.relative_to(folder).as_posix() for path in files)
        index = canonical_json(dict(zip(names, digests, strict=True)))
        digest = bytes_digest(index)
        if not self._backend.has(_object(digest)):
            self._backend.write(_object(digest), index)
        return digest

    def pull(self, digest: str, folder: Path, listener: Listener = SILENT) -> None:
        """Make `folder` the one of this digest, in one step; files that it has already are not fetched again.

        Raises DataError for a digest that the store doesn't have, and for damaged content. What the local disk refuses
        is the caller's to name (`storage_errors`).
        """
        folder = folder.absolute()
        index = self._index(digest)
        files = files_below(folder)
        digests = list(_in_threads(file_digest, files))
        held = dict(zip(digests, files, strict=True))
        names = (path.relative_to(folder).as_posix() for path in files)
        if folder.is_dir() and dict(zip(names, digests, strict=True)) == index:
            return
        wanted: dict[str, list[str]] = {}
        for name, of in index.items():
            wanted.setdefault(of, []).append(name)
        prepared = folder.with_name(f".{folder.name}.{short(digest)}.pulled")
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir(parents=True)

        def bring(item: tuple[str, list[str]]) -> None:
            of, (first, *others) = item[0], [prepared / name for name in item[1]]
            first.parent.mkdir(parents=True, exist_ok=True)
            if of in held:
                _link(held[of], first)
            else:
                with self._whole(of):
                    _write_verified(self._backend.read(_object(of)), first, of)
            for other in others:
                other.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(first, other)

        try:
            listener.start("fetch", len(wanted))
            for _ in _in_threads(bring, wanted.items()):
                listener.advance()
            replace_folder(prepared, folder)
        finally:
            shutil.rmtree(prepared, ignore_errors=True)

    def holds(self, digest: str) -> bool:
        """Whether the folder of this digest is here with all that is in it."""
        try:
            objects = {_object(of) for of in self._index(digest).values()}
        except DataError:
            return False
        return all(_in_threads(self._backend.has, objects))

    def announce(self, digest: str) -> None:
        """Tell who watches the bucket that images and labels of this digest are complete."""
        self._backend.write(f"datasets/{_hex(digest)}.json", canonical_json({"digest": digest}))

    def put(self, name: str, text: str) -> None:
        """Let a pointer say this, whatever it said before."""
        self._backend.write(f"pointers/{name}", text.encode())

    def get(self, name: str) -> str | None:
        """What a pointer says; None where there is none."""
        try:
            return b"".join(self._backend.read(f"pointers/{name}")).decode()
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Remove a pointer, or find it gone."""
        self._backend.delete(f"pointers/{name}")

    def _index(self, digest: str) -> dict[str, str]:
        with self._whole(digest):
            content = b"".join(self._backend.read(_object(digest)))
            if bytes_digest(content) != digest:
                raise _DifferentError
        try:
            index: dict[str, str] = json.loads(content)
            names = [PurePosixPath(name) for name in index]
            safe = all(name.parts and not name.is_absolute() and ".." not in name.parts for name in names)
            if safe and all(_DIGEST.fullmatch(each) for each in index.values()):
                return index
        except (ValueError, AttributeError, TypeError):  # it is another kind of file
            pass
        raise DataError(f"{self._what}: {digest} is no folder; give the digest of one")

    @contextlib.contextmanager
    def _whole(self, digest: str) -> Iterator[None]:
        """Turn an object that is missing or other than its name says into DataError."""
        try:
            yield
        except FileNotFoundError:
            raise DataError(f"{self._what}: has no object {digest}; run the step that makes it again") from None
        except _DifferentError:
            raise DataError(
                f"{self._what}: {_object(digest)} is damaged; delete it and run the step that makes it again"
            ) from None


class _DifferentError(Exception):
    """The bytes are others than their digest says."""


class _Backend(Protocol):
    """Named bytes. `read` raises FileNotFoundError where there are none; all others overwrite or find done."""

    def has(self, name: str) -> bool: ...
    def upload(self, name: str, path: Path, digest: str) -> None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def read(self, name: str) -> Iterator[bytes]: ...
    def delete(self, name: str) -> None: ...


class _Folder:
    def __init__(self, place: str, what: str) -> None:
        self._root = Path(place).absolute()
        self._what = what
        if self._root.exists() and not self._root.is_dir():
            raise UsageError(f"{what}: is a file; give a folder or s3://bucket/prefix")

    def has(self, name: str) -> bool:
        with self._errors():
            return (self._root / name).exists()

    def upload(self, name: str, path: Path, digest: str) -> None:
        made = self._made(name)
        temporary = made.with_name(f".{made.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        with self._errors(), path.open("rb") as file:
            try:
                _write_verified(iter(lambda: file.read(CHUNK), b""), temporary, digest)
                temporary.replace(made)
            except _DifferentError:
                raise StorageError(f"{self._what}: {path} changed while it was stored; run again") from None
            finally:
                temporary.unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        write_atomic(self._made(name), content, self._what)

    def read(self, name: str) -> Iterator[bytes]:
        with self._errors(), (self._root / name).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")

    def delete(self, name: str) -> None:
        with self._errors():
            (self._root / name).unlink(missing_ok=True)

    def _made(self, name: str) -> Path:
        path = self._root / name
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return storage_errors(self._root, self._what)


class _Bucket:
    def __init__(self, uri: str, what: str) -> None:
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._what = what

    @cached_property
    def _client(self) -> Any:
        # Content is compared with its digest here, which says what is wrong better than botocore's own check.
        return s3_client(response_checksum_validation="when_required")

    def has(self, name: str) -> bool:
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                self._client.head_object(**self._key(name))
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return False
                raise
        return True

    def upload(self, name: str, path: Path, digest: str) -> None:
        with self._errors(), path.open("rb") as file:
            self._put(name, file, digest)

    def write(self, name: str, content: bytes) -> None:
        with self._errors():
            self._put(name, content, bytes_digest(content))

    def read(self, name: str) -> Iterator[bytes]:
        with self._errors():
            try:
                body = self._client.get_object(**self._key(name))["Body"]
            except self._client.exceptions.NoSuchKey:
                raise FileNotFoundError(name) from None
            with contextlib.closing(body):
                yield from body.iter_chunks(CHUNK)

    def delete(self, name: str) -> None:
        with self._errors():
            self._client.delete_object(**self._key(name))

    def _put(self, name: str, body: Any, digest: str) -> None:
        """One request, so that the server compares the whole with its sum before anything is there."""
        checksum = base64.b64encode(bytes.fromhex(_hex(digest))).decode()
        self._client.put_object(**self._key(name), Body=body, ChecksumSHA256=checksum)

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return s3_errors(self._what)


def _hex(digest: str) -> str:
    """'sha256:abcd…' → 'abcd…'. Raises DataError for what is no digest."""
    match = _DIGEST.fullmatch(digest)
    if not match:
        raise DataError(f"{digest!r} is no digest; give sha256: and 64 hexadecimal digits")
    return match[1]


def _object(digest: str) -> str:
    """'sha256:abcd…' → 'objects/ab/abcd…'."""
    return f"objects/{_hex(digest)[:2]}/{_hex(digest)}"


def _in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The function's value of each item, in order. After an error nothing more is begun."""
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(function, items)


def _write_verified(chunks: Iterator[bytes], path: Path, digest: str) -> None:
    """Write a file to the disk itself. Raises _DifferentError when its content is not that of the digest."""
    content = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            content.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if content.hexdigest() != _hex(digest):
        raise _DifferentError


def _link(held: Path, path: Path) -> None:
    """Let two folders have one file, the old one of which is about to go; a copy where the disk knows no links."""
    try:
        path.hardlink_to(held)
    except OSError:
        shutil.copyfile(held, path)
