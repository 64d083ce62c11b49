"""Bringing a source to this machine: folder, archive, URI (http, https, s3) or a digest of the object store, and its
identity beforehand.

`identity` reads no more than it must: a local source's bytes, a remote one's tags. `fetched` gives a
folder (or dataset.yaml), downloading and unpacking below a work folder where that is needed.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from yolocore.data import download
from yolocore.data.sources import open_source
from yolocore.errors import DataError, UsageError
from yolocore.progress import SILENT, Listener
from yolocore.store import ObjectStore, configured, file_digest, json_digest, tree_digest

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_DESCRIPTIONS = (".yaml", ".yml")


def identity(source: str) -> str:
    """Digest of a source's content, or of what its server says identifies it.

    Raises DataError (not there), ServiceError (server unreachable) or StorageError (no such bucket).
    """
    if _is_digest(source):
        return source
    scheme = _scheme(source)
    if scheme == "s3":
        return download.bucket_identity(source)
    if scheme:
        return download.url_identity(source)
    path = _local(source)
    try:
        if path.suffix in _DESCRIPTIONS:
            return json_digest({"description": file_digest(path), "files": tree_digest(open_source(path).root)})
        return tree_digest(path)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); allow it or restore the file") from None


@contextlib.contextmanager
def fetched(source: str, work: Path, listener: Listener = SILENT) -> Iterator[Path]:
    """The source as a local folder or yaml file; what was downloaded or unpacked below `work` goes afterwards.

    Raises the errors of `identity`, and DataError for an archive that is damaged or reaches outside its folder.
    """
    scheme = _scheme(source)
    folder = work / "source"
    try:
        if _is_digest(source):
            path = folder / "stored"
            _store(source).pull(source, path, listener)
        elif not scheme:
            path = _local(source)
        elif scheme == "s3":
            path = download.download_bucket(source, folder / "bucket", listener)
        else:
            suffix = _archive_suffix(urlsplit(source).path)
            if not suffix:
                raise DataError(f"source={source}: is no archive ({', '.join(_ARCHIVES)}); give the URL of one")
            path = folder / f"download{suffix}"
            download.download_url(source, path, listener)
        if path.is_file() and _archive_suffix(path.name):
            path = _unpack(path, folder / "unpacked", source)
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_digest(source: str) -> bool:
    return source.startswith("sha256:")


def _store(source: str) -> ObjectStore:
    store = configured()
    if store is None:
        raise UsageError(f"source={source}: is a digest, and YOLO_STORE names no object store that would have it")
    return store


def _scheme(source: str) -> str:
    scheme, separator, _ = source.partition("://")
    if not separator:
        return ""
    if scheme not in ("http", "https", "s3"):
        raise DataError(f"source={source}: {scheme}:// is not supported; use http, https or s3, or a local path")
    return scheme


def _archive_suffix(name: str) -> str:
    return next((suffix for suffix in _ARCHIVES if name.lower().endswith(suffix)), "")


def _local(source: str) -> Path:
    path = Path(source)
    if not source or not path.exists():  # Path would take nothing for the folder that we are in
        raise DataError(f"source={source}: no such file or folder; give one, an archive, a URI, demo or demo-classify")
    if path.is_file() and not _archive_suffix(path.name) and path.suffix not in _DESCRIPTIONS:
        raise DataError(f"source={source}: is no folder, dataset.yaml or archive ({', '.join(_ARCHIVES)})")
    return path


def _unpack(archive: Path, folder: Path, shown: str) -> Path:
    """Unpack plain files; members that would land elsewhere, links and devices are refused before any is written."""
    folder.mkdir(parents=True)
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                for item in zipped.infolist():
                    _refuse_unsafe(item.filename, stat.S_ISLNK(item.external_attr >> 16), shown)
                zipped.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                for member in tar.getmembers():
                    _refuse_unsafe(member.name, not (member.isfile() or member.isdir()), shown)
                # Python 3.11.4 brought the filter; those before are as safe by the refusals above.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"source={shown}: the archive is damaged ({error}); fetch or make it again") from None
    return folder


def _refuse_unsafe(member: str, special: bool, shown: str) -> None:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"source={shown}: {member!r} leads outside the archive; only plain relative names are unpacked")
    if special:
        raise DataError(f"source={shown}: {member!r} is a link or device; only plain files and folders are unpacked")
