"""The loop over pictures and videos: look, write down, draw."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from yolocore.config import PredictConfig
from yolocore.detections import Classification, Detections
from yolocore.draw import Image
from yolocore.errors import DataError, UsageError
from yolocore.media import Video, VideoFile, until_interrupted
from yolocore.predict.rows import Found, json_row
from yolocore.predict.sources import Media, find_media, read_image
from yolocore.predict.writers import draw, write_jpeg, yolo_text
from yolocore.progress import SILENT, Listener
from yolocore.runtimes.detector import Detector

ROWS_FILE = "predictions.jsonl"
LABELS_FOLDER = "labels"
PICTURES_FOLDER = "pictures"


@dataclass
class PredictSummary:
    """What a run of the loop did.

    frames: images and video frames. objects: how many by class name; of a classified frame, its best class.
    pictures: paths of drawn images and videos, relative to the folder. seconds: of the whole loop.
    """

    frames: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    pictures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def look(detector: Detector, images: Sequence[Image], config: PredictConfig) -> list[Detections] | list[Classification]:
    """What images u8 (h, w, 3) BGR show: their objects, or for a model for classify, their classes.

    Raises UsageError for class indices that the model doesn't have, and where classes cannot be left out.
    """
    known, asked = len(detector.meta.names), ",".join(map(str, config.classes or ()))
    if config.classes and not all(0 <= label < known for label in config.classes):
        raise UsageError(f"classes={asked}: the model knows 0..{known - 1}")
    if detector.meta.task == "classify":
        if config.classes:
            raise UsageError(f"classes={asked}: a model for classify weighs all of its classes; leave classes= out")
        return detector.classify(images, imgsz=config.imgsz)
    return detector.detect(
        images,
        conf=config.conf,
        iou=config.iou,
        max_det=config.max_det,
        classes=config.classes,
        agnostic=config.agnostic_nms,
        imgsz=config.imgsz,
    )


def predict(
    detector: Detector, source: str, config: PredictConfig, folder: Path, listener: Listener = SILENT
) -> PredictSummary:
    """Look at everything that the source stands for (see `find_media`).

    Writes into the folder `predictions.jsonl`, a row an image or frame; with `config.save_txt` a YOLO text
    each under `labels/`; with `config.save` drawn images and videos under `pictures/`. A live source is
    followed until it ends or is interrupted from the keyboard.
    Raises DataError, ServiceError and StorageError of sources and videos, and UsageError as `look`.
    """
    started = time.perf_counter()
    media = find_media(source)
    stills = [each for each in media if not each.is_video]
    with (folder / ROWS_FILE).open("w", encoding="utf-8") as rows:
        run = _Run(detector, config, folder, rows, PredictSummary())
        if stills:
            listener.start("predict", len(stills))
        for still in stills:
            run.still(still)
            listener.advance()
        for video in media:
            if video.is_video:
                run.video(video, listener)
    run.summary.seconds = time.perf_counter() - started
    return run.summary


@dataclass
class _Run:
    detector: Detector
    config: PredictConfig
    folder: Path
    rows: TextIO
    summary: PredictSummary

    def still(self, media: Media) -> None:
        image = read_image(media)
        found = self._look(image, media.name, None, media.stem)
        if self.config.save:
            draw(image, found, self.detector.meta.names)
            write_jpeg(self._picture(f"{media.stem}.jpg"), image)

    def video(self, media: Media, listener: Listener) -> None:
        with contextlib.ExitStack() as stack:
            video = stack.enter_context(Video(media.where))
            stride = self.config.vid_stride
            drawn = None
            if self.config.save:
                path = self._picture(f"{media.stem}.mp4")
                drawn = stack.enter_context(VideoFile(path, video.fps / stride, video.size))
            listener.start(f"predict {media.name}", video.length and -(-video.length // stride))
            before = self.summary.frames
            with until_interrupted(live=video.length is None):
                for number, image in video.frames(stride):
                    found = self._look(image, media.name, number, f"{media.stem}_{number}")
                    if drawn:
                        draw(image, found, self.detector.meta.names)
                        drawn.write(image)
                    listener.advance(objects=len(_classes(found)))
            if self.summary.frames == before:
                raise DataError(f"source={media.where}: holds no frame that can be read")

    def _look(self, image: Image, name: str, frame: int | None, stem: str) -> Found:
        """Look at an image and write down what it shows."""
        (found,) = look(self.detector, [image], self.config)
        meta, shape = self.detector.meta, (image.shape[0], image.shape[1])
        self.rows.write(json_row(name, frame, shape, found, meta))
        if self.config.save_txt:
            path = self.folder / LABELS_FOLDER / f"{stem}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yolo_text(found, shape, meta, self.config.save_conf))
        self.summary.frames += 1
        self.summary.objects.update(meta.names[label] for label in _classes(found))
        return found

    def _picture(self, name: str) -> Path:
        """Where a drawn picture goes; the summary lists it."""
        path = self.folder / PICTURES_FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.summary.pictures.append(f"{PICTURES_FOLDER}/{name}")
        return path


def _classes(found: Found) -> list[int]:
    """The class of each object, or the best one of the image."""
    return (found.top(1) if isinstance(found, Classification) else found.classes).tolist()
