"""Publishing that a crash cannot tear: readers see the old state or the new one, never a mixture.

A folder is prepared beside its destination and renamed into place; a file is written to a temporary
name, synced and renamed. Between the two renames that replace an existing folder a crash can leave
the destination missing: `recover` puts the old one back, and every writer calls it first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from yolocore.errors import StorageError, UsageError

_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make it writable for this user"),
    errno.EIO: "look at the disk",
}


@contextlib.contextmanager
def storage_errors(place: Path, setting: str = "out=") -> Iterator[None]:
    """Turn the operating system's refusals to write (full, read-only, forbidden) into StorageError.

    setting: what chose the place.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if not remedy:
            raise
        where = error.filename2 or error.filename or place  # of a copy, what could not be written
        raise StorageError(f"{where}: {error.strerror}; {remedy} or choose another {setting}") from None


def make_parent(path: Path, setting: str = "out=") -> None:
    """Make the folder that `path` will lie in. Raises StorageError where there can be none.

    setting: what chose the place.
    """
    with storage_errors(path, setting):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:  # a file is in its way, or /proc
            raise StorageError(
                f"{path.parent}: cannot be a folder ({error.strerror}); choose another {setting}"
            ) from None


def write_atomic(path: Path, content: bytes | str, setting: str = "out=") -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops.

    setting: what chose the place.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path, setting):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _retired(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def recover(path: Path) -> None:
    """Finish or undo a folder replacement that a crash interrupted."""
    retired = _retired(path)
    if not retired.exists():
        return
    if path.exists():
        shutil.rmtree(retired)
    else:
        retired.rename(path)


def replace_folder(prepared: Path, path: Path) -> None:
    """Put a prepared folder at `path`, in place of what was there."""
    recover(path)
    retired = _retired(path)
    if path.exists():
        path.rename(retired)
    prepared.rename(path)
    shutil.rmtree(retired, ignore_errors=True)


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the right to write `path` against other processes; it ends with the process, however it ends.

    wait: stand in line where somebody else holds it, in place of raising UsageError.
    """
    make_parent(path)
    with storage_errors(path):
        lock = path.with_name(f".{path.name}.lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{path}: another process is writing there; wait for it or choose another out=") from None
        yield
