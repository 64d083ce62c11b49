"""What steps on a cluster make for one another passes by digest through the object store, not through the pipeline's.

A step's artifacts go to the store together with their record, and out of the folder that the pipeline keeps. There
`stored.json` stands for them, beside the record, the pictures and the tables, which are for people. The step that
takes such a folder fetches them from the store, once for each digest on each machine. What runs where there is no such
folder is given a name for it: its digest, and behind it the path in what has that digest.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from yolocore.config import Section
from yolocore.errors import DataError, UsageError
from yolocore.meta import architecture
from yolocore.progress import Listener
from yolocore.records import FILE_NAME, Record
from yolocore.store import ObjectStore, exclusive, storage_errors, write_atomic

STORED = "stored.json"

_NAME = re.compile("(sha256:[0-9a-f]{64})(?:/(.+))?")

S = TypeVar("S", bound=Section)


class Stored(BaseModel):
    """What `stored.json` says. digest: of the record and the artifacts, as a folder; bytes: of the artifacts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    bytes: int
    uri: str

    @classmethod
    def find(cls, folder: Path) -> Stored | None:
        """What stands for a folder's artifacts; None where they lie in it. Raises DataError for a damaged one."""
        path = folder / STORED
        if not _is_file(path):
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DataError(f"{path}: is damaged ({error.errors()[0]['msg']}); run the step again") from None


def hand_over(store: ObjectStore, folder: Path, record: Record, listener: Listener) -> Stored | None:
    """Move a finished step's artifacts to the store; None when it has made none. Raises the store's errors."""
    paths = [artifact.path for artifact in record.artifacts.values()]
    if not paths:
        return None
    digest = store.push(folder, [FILE_NAME, *paths], listener)
    size = sum(artifact.bytes for artifact in record.artifacts.values())
    stored = Stored(digest=digest, bytes=size, uri=store.uri(digest))
    write_atomic(folder / STORED, stored.model_dump_json(indent=2) + "\n")
    for path in paths:
        if (folder / path).is_dir():
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink()
    return stored


def brought_here(store: ObjectStore | None, inputs: S, listener: Listener) -> S:
    """A mode's inputs; those that a step has handed over, lie in what one has, or are names, as paths below the cache.

    Raises UsageError for such an input where no store is configured, DataError for a damaged one, and the store's
    errors.
    """
    return _each(inputs, lambda value: _brought_here(store, value, listener))


def sent(store: ObjectStore, inputs: S, listener: Listener) -> S:
    """A mode's inputs with names in place of paths, for another machine; what lies here alone goes to the store.

    Raises DataError for a damaged one, and the store's errors.
    """
    return _each(inputs, lambda value: _sent(store, value, listener))


def _each(inputs: S, change: Callable[[str], str]) -> S:
    """Every input changed; of one that is a list, each."""

    def of(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return tuple(map(change, value)) if isinstance(value, tuple) else change(value)

    return inputs.model_copy(update={name: of(value) for name, value in inputs})


def _brought_here(store: ObjectStore | None, value: str, listener: Listener) -> str:
    if name := _NAME.fullmatch(value):
        if store is None:
            raise UsageError(f"{value}: names what lies in an object store; set YOLO_STORE to that store")
        return str(_fetched(store, name[1], listener) / (name[2] or ""))
    path = Path(value)
    folder, stored = _handed_over(path)
    if stored is None:
        return value
    if store is None:
        raise UsageError(f"{folder}: its files lie in {stored.uri}; set YOLO_STORE to that store")
    fetched = _fetched(store, stored.digest, listener) / path.relative_to(folder)
    return str(fetched) if fetched.exists() else value  # a picture or a table has stayed where it was


def _sent(store: ObjectStore, value: str, listener: Listener) -> str:
    if not value or architecture(value):
        return value
    path = Path(value)
    folder, stored = _handed_over(path)
    if stored and path == folder:
        return stored.digest
    if _is_file(path):
        return f"{store.push(path.parent, [path.name], listener)}/{path.name}"
    if stored:
        return f"{stored.digest}/{path.relative_to(folder).as_posix()}"
    return store.push(path, listener=listener) if _is_folder(path) else value


def _handed_over(path: Path) -> tuple[Path, Stored | None]:
    """The folder that a path is or lies in whose artifacts were handed over, and what stands for them."""
    for folder in (path, *path.parents):
        if folder.name and (stored := Stored.find(folder)):
            return folder, stored
    return path, None


def _fetched(store: ObjectStore, digest: str, listener: Listener) -> Path:
    """The folder of this digest below the cache. Several processes of one machine fetch it once."""
    cache = _cache()
    local = cache / digest.removeprefix("sha256:")
    with storage_errors(cache, f"YOLO_CACHE={cache}"):
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive(local, wait=True):
            if not local.is_dir():
                store.pull(digest, local, listener)
    return local


def _cache() -> Path:
    """The folder of what was fetched; by default one of this user's own among temporary files."""
    return Path(os.environ.get("YOLO_CACHE") or Path(tempfile.gettempdir()) / f"yolocore-{os.getuid()}").absolute()


def _is_file(path: Path) -> bool:
    return _is(path, Path.is_file)


def _is_folder(path: Path) -> bool:
    return _is(path, Path.is_dir)


def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
    try:
        return kind(path)
    except OSError:  # a text that is no path at all, as a long list of names
        return False
