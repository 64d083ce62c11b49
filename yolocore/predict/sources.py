"""Where pictures come from: a file, a folder, a glob, a list of paths, a URL, a webcam."""

from __future__ import annotations

import glob
import os
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from yolocore.data.images import IMAGE_SUFFIXES, decode_image
from yolocore.draw import Image
from yolocore.errors import DataError, ServiceError
from yolocore.media import NETWORK_TIMEOUT_MS, is_live

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})


@dataclass(frozen=True)
class Media:
    """One picture or video.

    where: path, URL or webcam index. name: what results call it. stem: the name of its result files,
    without suffix, different for each media of a source.
    """

    where: str
    name: str
    stem: str
    is_video: bool


def find_media(source: str) -> list[Media]:
    """Everything that a source stands for, in order of names (a list of paths keeps its own order).

    source: an image or video file; a folder, searched with all below it; a glob; a .txt with a path a
    line, absolute or relative to it; a webcam's index; an http, https or rtsp URL. A URL that ends like an
    image is one; any other is a stream.
    Raises DataError where there is nothing, and for a listed path that does not exist.
    """
    if is_live(source):
        url = PurePosixPath(urlsplit(source).path)
        name = url.name or source
        return [Media(source, name, url.stem or "stream", url.suffix.lower() not in IMAGE_SUFFIXES)]
    path = Path(source)
    if path.is_dir():
        return _named([p for p in sorted(path.rglob("*")) if _is_media(p)], path, source)
    if path.suffix == ".txt" and path.is_file():
        return _named(_listed(path), None, source)
    if path.is_file():
        return _named([path], path.parent, source)
    if glob.has_magic(source):
        found = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 (pathlib's takes relative patterns only)
        return _named([p for p in map(Path, found) if _is_media(p)], None, source)
    raise DataError(f"source={source}: no such file or folder; give an image, video, folder, glob, list.txt or URL")


def read_image(media: Media) -> Image:
    """The picture: u8 (h, w, 3) BGR. Raises DataError if it is broken, ServiceError if it can't be fetched."""
    if not is_live(media.where):
        try:
            return decode_image(Path(media.where).read_bytes(), media.where)
        except OSError as error:
            raise DataError(f"{media.where}: cannot be read ({error.strerror}); allow it or leave it out") from None
    try:
        with urllib.request.urlopen(media.where, timeout=NETWORK_TIMEOUT_MS / 1000) as answer:
            return decode_image(answer.read(), media.where)
    except OSError as error:
        raise ServiceError(f"source={media.where}: cannot be fetched ({error}); check address and server") from None


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and path.is_file()


def _listed(file: Path) -> list[Path]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    paths = [file.parent / line for line in dict.fromkeys(lines) if line]
    for path in paths:
        if not path.is_file():
            raise DataError(f"source={file}: lists {path}, which does not exist; correct the list")
    return paths


def _named(paths: Sequence[Path], base: Path | None, source: str) -> list[Media]:
    """Media of files, named relative to base (None: the deepest folder that holds them all)."""
    if not paths:
        raise DataError(f"source={source}: holds no image or video; known are {_known()}")
    folder = base or Path(os.path.commonpath([path.absolute().parent for path in paths]))
    names = [Path(os.path.relpath(path, folder)).as_posix() for path in paths]
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in names]
    count = Counter(stems)
    return [
        # A file of unknown suffix is taken for a video: opening it says what is wrong.
        Media(str(path), name, stem if count[stem] == 1 else name, path.suffix.lower() not in IMAGE_SUFFIXES)
        for path, name, stem in zip(paths, names, stems, strict=True)
    ]


def _known() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
