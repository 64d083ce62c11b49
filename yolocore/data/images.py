"""Encoded images: which files are images, what they decode to, and their size without decoding.

`decode_image` is the only decoder of still images in the project, so that training, validation and
ingest agree on what a broken image is. Pictures are turned upright as their EXIF orientation says,
which is how annotation tools show them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.errors import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# What is wrong with an image is told by the exceptions here; OpenCV would tell it again on stderr.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_HEADER_BYTES = 1 << 18  # beyond what EXIF thumbnails and colour profiles usually take
_EXIF_ORIENTATION = 0x0112
_SCALES = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_SIDEWAYS = {5, 6, 7, 8}  # orientations that swap width and height (EXIF 2.3, table 3)


def is_image(path: Path) -> bool:
    # Hidden files with an image's name are the side files of another file system.
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def decode_image(content: bytes | memoryview, name: str, reduction: int = 1) -> npt.NDArray[np.uint8]:
    """Pixels of an encoded image: (height, width, 3) uint8, BGR.

    name: what an error calls the image. reduction: 2, 4 or 8 for a copy with that part of the height and
    width (rounded up), whose decoding takes a JPEG a third of the time or less.
    Raises DataError for a truncated file or one that is no image.
    """
    pixels = _decode(content, _SCALES[reduction])
    if pixels is None:
        raise DataError(f"{name}: {broken(content)}; replace the file or leave it out")
    return pixels


def check_image(content: bytes | memoryview) -> tuple[int, int] | None:
    """(height, width) of an image all of whose data decodes, None for a broken one.

    JPEGs go through entropy decoding only (an eighth of the size), which reads every byte and costs a
    fifth of the time.
    """
    size = _jpeg_size(content)
    if size is not None:
        return None if _decode(content, cv2.IMREAD_REDUCED_COLOR_8) is None else size
    pixels = _decode(content, cv2.IMREAD_COLOR)
    return None if pixels is None else (pixels.shape[0], pixels.shape[1])


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of what `decode_image` returns; of a JPEG only the header is read.

    Raises DataError as `decode_image` does, and for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            size = _jpeg_size(head)
            if size is not None:
                return size
            content = head + file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file") from None
    pixels = decode_image(content, str(path))
    return pixels.shape[0], pixels.shape[1]


def broken(content: bytes | memoryview) -> str:
    """Why an image does not decode, in words."""
    if len(content) == 0:
        return "the file is empty"
    if _jpeg_size(content) is not None:
        return f"the JPEG is truncated or damaged ({len(content)} bytes)"
    return f"no image that can be decoded ({len(content)} bytes)"


def _decode(content: bytes | memoryview, flags: int) -> npt.NDArray[np.uint8] | None:
    if len(content) == 0:
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None
    return pixels  # type: ignore[return-value]


def _jpeg_segments(content: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment's payload before the entropy-coded data (ITU-T T.81, annex B)."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        yield marker, position + 4, end
        if marker == 0xDA:  # start of scan
            return
        position = end


def _jpeg_size(content: bytes | memoryview) -> tuple[int, int] | None:
    """(height, width) of a JPEG turned upright; None where the content has no JPEG header."""
    if bytes(content[:2]) != b"\xff\xd8":
        return None
    sideways = False
    for marker, start, end in _jpeg_segments(content):
        if marker == 0xE1 and bytes(content[start : start + 6]) == b"Exif\0\0":
            sideways = _orientation(bytes(content[start + 6 : end])) in _SIDEWAYS
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and start + 5 <= len(content):
            height, width = struct.unpack(">HH", content[start + 1 : start + 5])
            return (width, height) if sideways else (height, width)
    return None


def _orientation(tiff: bytes) -> int:
    """The orientation tag of an Exif block, 1 (upright) where it has none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    if directory + 2 > len(tiff):
        return 1
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for offset in range(directory + 2, min(directory + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, offset)
        if tag == _EXIF_ORIENTATION:
            return int(value)
    return 1
