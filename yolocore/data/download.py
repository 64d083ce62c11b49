"""Downloads from web servers (an archive, resumed where it broke off) and from S3 buckets (many at once)."""

from __future__ import annotations

import contextlib
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from yolocore.errors import DataError, ServiceError
from yolocore.progress import Listener
from yolocore.store import json_digest
from yolocore.store.s3 import CHUNK, CONNECTIONS, s3_client, s3_errors

if TYPE_CHECKING:
    import requests

_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of an answer
_PAUSES = (0.5, 1, 2, 4)  # seconds before each further attempt that follows one without progress


def url_identity(url: str) -> str:
    """Digest of the ETag or date that the server states, or of the body where it states neither.

    Raises DataError for what is not there, ServiceError for a server that does not answer or refuses.
    """
    with _get(url) as answer:
        tag, date = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
        if tag or date:
            return json_digest({"etag": tag, "modified": date, "length": answer.headers.get("Content-Length")})
        body = hashlib.sha256()
        for chunk in answer.iter_content(CHUNK):
            body.update(chunk)
        return "sha256:" + body.hexdigest()


def download_url(url: str, path: Path, listener: Listener) -> None:
    """Download to a file, going on where a broken connection left off. Raises the errors of `url_identity`."""
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    validator = ""
    furthest = failures = 0
    while True:
        offset = path.stat().st_size if validator else 0
        try:
            with _get(url, offset, validator) as answer, path.open("ab" if answer.status_code == 206 else "wb") as file:
                validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
                if not furthest:
                    listener.start("download", int(answer.headers.get("Content-Length", 0)) or None)
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    if file.tell() > furthest:
                        listener.advance(file.tell() - furthest)
                        furthest, failures = file.tell(), 0
            return
        except (requests.RequestException, ServiceError) as error:
            if failures == len(_PAUSES):
                if isinstance(error, ServiceError):
                    raise
                raise ServiceError(f"source={url}: the download broke off ({_reason(error)}); run again") from None
            time.sleep(_PAUSES[failures])
            failures += 1


def _get(url: str, offset: int = 0, validator: str = "") -> requests.Response:
    """Begin to read a URL, from `offset` on if it is still the same file."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    try:
        answer = requests.get(url, stream=True, timeout=_TIMEOUT, headers=headers)
    except requests.RequestException as error:
        raise ServiceError(f"source={url}: cannot be reached ({_reason(error)}); check address and network") from None
    if answer.status_code in (404, 410):
        raise DataError(f"source={url}: is not there (HTTP {answer.status_code}); check the address")
    if not answer.ok:
        raise ServiceError(f"source={url}: the server refused (HTTP {answer.status_code} {answer.reason})")
    return answer


def _reason(error: Exception) -> str:
    """The innermost cause, without the memory addresses that requests and urllib3 wrap it in."""
    cause: Any = error
    while cause.args and isinstance(getattr(cause, "reason", None) or cause.args[0], Exception):
        cause = getattr(cause, "reason", None) or cause.args[0]
    return f"{type(cause).__name__}: {str(cause).rpartition(': ')[2]}"


def bucket_identity(uri: str) -> str:
    """Digest of names, sizes and ETags of what lies at s3://bucket/prefix.

    Raises StorageError for a bucket that is missing or forbidden, ServiceError for an unreachable server,
    DataError where there is nothing.
    """
    with s3_errors(f"source={uri}"):
        return json_digest([[str(o.path), o.size, o.tag] for o in _listing(s3_client(), uri)])


def download_bucket(uri: str, folder: Path, listener: Listener) -> Path:
    """Download the object of that name, or all below that prefix; returns the file or `folder`.

    Raises the errors of `bucket_identity`, and DataError for an object whose name leads outside the folder.
    """
    with s3_errors(f"source={uri}"):
        client = s3_client()
        objects = _listing(client, uri)
        for unsafe in (o for o in objects if ".." in o.path.parts):
            raise DataError(f"source={uri}: the object {unsafe.key!r} leads outside the folder; rename it")
        listener.start("download", len(objects))

        def download(item: _Object) -> None:
            path = folder / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            body = client.get_object(Bucket=item.bucket, Key=item.key)["Body"]
            with contextlib.closing(body), path.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK):
                    file.write(chunk)

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _ in pool.map(download, objects):
                listener.advance()
    is_file = len(objects) == 1 and uri.endswith(objects[0].key)
    return folder / objects[0].path if is_file else folder


@dataclass(frozen=True)
class _Object:
    """An object in a bucket; path: its name below the prefix that was asked for."""

    bucket: str
    key: str
    path: PurePosixPath
    size: int
    tag: str


def _listing(client: Any, uri: str) -> list[_Object]:
    """The object that has exactly this name, else those below it as a folder, in order of their keys."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = [(o["Key"], o["Size"], o["ETag"]) for page in pages for o in page.get("Contents", ())]
    if prefix and any(key == prefix and size for key, size, _ in found):
        name = PurePosixPath(PurePosixPath(prefix).name)
        return [_Object(bucket, key, name, size, tag) for key, size, tag in found if key == prefix]
    folder = prefix.rstrip("/") + "/" if prefix else ""
    objects = [
        _Object(bucket, key, PurePosixPath(key.removeprefix(folder).lstrip("/")), size, tag)
        for key, size, tag in found
        if key.startswith(folder) and not key.endswith("/")
    ]
    if not objects:
        raise DataError(f"source={uri}: the bucket has nothing of that name; check the prefix")
    return objects
