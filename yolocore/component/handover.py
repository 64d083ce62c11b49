"""What steps on a cluster make for one another passes by digest through the object store, not through the pipeline's.

A step's artifacts go to the store together with their record, and out of the folder that the pipeline keeps. There
`stored.json` stands for them, beside the record, the pictures and the tables, which are for people. The step that
takes such a folder fetches them from the store, once for each digest on each machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from yolocore.config import Section
from yolocore.errors import DataError, UsageError
from yolocore.progress import Listener
from yolocore.records import FILE_NAME, Record
from yolocore.store import ObjectStore, exclusive, storage_errors, write_atomic

STORED = "stored.json"

S = TypeVar("S", bound=Section)


class Stored(BaseModel):
    """What `stored.json` says. digest: of the record and the artifacts, as a folder; bytes: of the artifacts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    bytes: int
    uri: str


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
    """A mode's inputs; those that a step has handed over, or lie in what one has, as paths below the local cache.

    Raises UsageError for such an input where no store is configured, DataError for a damaged one, and the store's
    errors.
    """
    return inputs.model_copy(
        update={name: _brought_here(store, value, listener) for name, value in inputs if isinstance(value, str)}
    )


def _brought_here(store: ObjectStore | None, value: str, listener: Listener) -> str:
    path = Path(value)
    folder = next((top for top in (path, *path.parents) if top.name and _is_file(top / STORED)), None)
    if folder is None:
        return value
    try:
        stored = Stored.model_validate_json((folder / STORED).read_bytes())
    except ValidationError as error:
        raise DataError(f"{folder / STORED}: is damaged ({error.errors()[0]['msg']}); run the step again") from None
    if store is None:
        raise UsageError(f"{folder}: its files lie in {stored.uri}; set YOLO_STORE to that store")
    cache = _cache()
    local = cache / stored.digest.removeprefix("sha256:")
    with storage_errors(cache, f"YOLO_CACHE={cache}"):
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive(local, wait=True):
            if not local.is_dir():
                store.pull(stored.digest, local, listener)
    fetched = local / path.relative_to(folder)
    return str(fetched) if fetched.exists() else value  # a picture or a table has stayed where it was


def _cache() -> Path:
    """The folder of what was fetched; by default one of this user's own among temporary files."""
    return Path(os.environ.get("YOLO_CACHE") or Path(tempfile.gettempdir()) / f"yolocore-{os.getuid()}").absolute()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text that is no path at all, as a long list of names
        return False
