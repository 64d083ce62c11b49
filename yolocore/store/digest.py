"""Identity by content: sha256 over canonical bytes, written 'sha256:<hex>'."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolocore.config.base import canonical_json


def bytes_digest(content: bytes | memoryview) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def json_digest(value: Any) -> str:
    """Digest of a JSON value in its canonical form, whatever order its keys were written in."""
    return bytes_digest(canonical_json(value))


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, also of those that are links elsewhere; sorted."""
    # Path.rglob does not follow links, and data sets are often links to another disk.
    walk = os.walk(folder, followlinks=True)
    return sorted(path for top, _, names in walk for name in names if (path := Path(top, name)).is_file())


def tree_digest(path: Path) -> str:
    """Digest of a file, or of a folder by the names and digests of all files below it."""
    if path.is_file():
        return file_digest(path)
    files: Mapping[str, str] = {p.relative_to(path).as_posix(): file_digest(p) for p in files_below(path)}
    return json_digest(files)


def short(digest: str) -> str:
    """The 12 hex digits that name folders and versions; 'sha256:0123456789ab…' → '0123456789ab'."""
    return digest.removeprefix("sha256:")[:12]
