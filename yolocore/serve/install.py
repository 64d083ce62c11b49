"""Laying a model from the store into an empty repository, before a server reads it: the first thing a pod does."""

from __future__ import annotations

from pathlib import Path

from yolocore.errors import DataError
from yolocore.progress import SILENT, Listener
from yolocore.serve import repository as models
from yolocore.serve.repository import Pointer, entry_name
from yolocore.store import storage_errors
from yolocore.store.objects import ObjectStore


def install(store: ObjectStore, name: str, digest: str, repository: Path, listener: Listener = SILENT) -> Path | None:
    """Fetch the entry of this digest and let the name serve it; returns its folder.

    An empty digest means that nothing was promoted yet: the repository is left empty, and None returned. Raises
    DataError when the store has no such entry, or has something else under that digest; StorageError and ServiceError
    as the store does. The name then points to nothing.
    """
    if not digest:
        listener.note(f"no model was promoted yet: {repository} serves nothing")
        return None
    entry = repository / entry_name(name, digest)
    with storage_errors(repository, "repository="):
        repository.mkdir(parents=True, exist_ok=True)
        store.pull(digest, entry, listener)
    if not (entry / "config.pbtxt").is_file():
        raise DataError(f"{digest}: is no served model but another folder; promote what `yolo deploy` has verified")
    models.point(repository, name, Pointer(digest, ""))
    listener.note(f"{name} serves {entry.name}")
    return entry
