"""Videos, in and out: the one way to open a file, a webcam or a stream, and the one way to write a file.

Reading in a thread of its own was measured and left out for files: decoding takes 0.6-0.9 ms a frame where
a network takes 25. A live source is another matter: there a thread keeps the newest frame and drops the
ones that nobody had time for, since a queue would fall behind for good.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.errors import DataError, ServiceError, StorageError

Image = npt.NDArray[np.uint8]

NETWORK_TIMEOUT_MS = 10_000
# What a live source that does not tell its rate is taken for.
USUAL_RATE = 30.0


class Video:
    """An open video: a file, a webcam (its index) or a stream (URL). Use as a context manager.

    fps: frames a second. size: (width, height) in pixels. length: number of frames as the header states it,
    None for a live source.
    Raises DataError for a file that is missing or no video and for a webcam that is not there, ServiceError for
    a stream that cannot be reached.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._capture = _open(source)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or USUAL_RATE
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = length if length > 0 else None

    def frames(self, stride: int = 1) -> Iterator[tuple[int, Image]]:
        """Every stride-th frame with its number (from 1): u8 (h, w, 3) BGR. A live source drops what comes too fast."""
        return self._newest(stride) if self.length is None else self._all(stride)

    def _all(self, stride: int) -> Iterator[tuple[int, Image]]:
        number = 0
        while self._capture.grab():
            number += 1
            if (number - 1) % stride == 0:
                read, image = self._capture.retrieve()
                if not read:
                    return
                yield number, image.astype(np.uint8, copy=False)

    def _newest(self, stride: int) -> Iterator[tuple[int, Image]]:
        latest: list[tuple[int, Image]] = []
        changed = threading.Condition()
        stop = threading.Event()

        def read() -> None:
            for item in self._all(stride):
                with changed:
                    latest[:] = [item]
                    changed.notify()
                if stop.is_set():
                    return
            stop.set()
            with changed:
                changed.notify()

        reader = threading.Thread(target=read, name=f"read {self.source}", daemon=True)
        reader.start()
        try:
            while True:
                with changed:
                    changed.wait_for(lambda: latest or stop.is_set())
                    if not latest:
                        return
                    item = latest.pop()
                yield item
        finally:
            stop.set()
            reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._capture.release()


class VideoFile:
    """A video being written: mp4 (MPEG-4 part 2, the one codec that every OpenCV build has). Use as a context manager.

    Raises StorageError when the file cannot be begun, and at the end when it was not written whole: OpenCV itself
    says nothing when the disk is full.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        self._written = 0
        with _quiet():
            self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            raise StorageError(f"{path}: cannot be written as a video; is the folder there and writable?")

    def write(self, image: Image) -> None:
        """Add a frame: u8 (h, w, 3) BGR of the size given at the beginning."""
        with _quiet():
            self._writer.write(image)
        self._written += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        with _quiet():
            self._writer.release()
            if kind is None and self._written:
                found = int(cv2.VideoCapture(str(self._path)).get(cv2.CAP_PROP_FRAME_COUNT))
                if found != self._written:
                    raise StorageError(f"{self._path}: {found} of {self._written} frames were written; free space")


def is_live(source: str) -> bool:
    """Whether a source is a webcam or a stream, which shows something else every time."""
    return source.isdigit() or "://" in source


@contextlib.contextmanager
def until_interrupted(live: bool) -> Iterator[None]:
    """Ctrl-C is how a person ends a live source; elsewhere it is what it always is."""
    try:
        yield
    except KeyboardInterrupt:
        if not live:
            raise


def _open(source: str) -> cv2.VideoCapture:
    with _quiet():
        if source.isdigit():
            capture = cv2.VideoCapture(int(source))
            if not capture.isOpened():
                raise DataError(f"source={source}: there is no webcam of that number")
        elif "://" in source:
            limits = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                NETWORK_TIMEOUT_MS,
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                NETWORK_TIMEOUT_MS,
            ]
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
            if not capture.isOpened():
                raise ServiceError(f"source={source}: no stream could be opened; check address and server")
        else:
            if not Path(source).is_file():
                raise DataError(f"source={source}: no such video file")
            capture = cv2.VideoCapture(source)
            if not capture.isOpened():
                raise DataError(f"source={source}: is no video that can be read; is the file whole?")
    return capture


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from printing what our own errors say."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg's AV_LOG_QUIET; read when it is first used
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
