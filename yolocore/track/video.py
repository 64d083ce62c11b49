"""The tracking loop: a video goes in, MOT text and a video with the tracks drawn come out."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolocore.config import TrackConfig
from yolocore.detections import Detections
from yolocore.draw import Image, colour, draw_box, line_width
from yolocore.errors import DataError
from yolocore.media import Video, VideoFile, until_interrupted
from yolocore.progress import SILENT, Listener
from yolocore.runtimes.detector import Detector
from yolocore.track.bytetrack import ByteTrack
from yolocore.track.mot import mot_lines

TRACKS_FILE = "tracks.txt"
VIDEO_FILE = "tracked.mp4"
# Frames of its past that a drawn track shows.
TRAIL = 30


@dataclass(frozen=True)
class TrackSummary:
    """What a run of the loop did.

    frames: numbers (from 1) of the frames that were used. identities: how many objects were told apart.
    seconds: of the whole loop; associate_seconds: of the tracker in it.
    """

    frames: tuple[int, ...]
    identities: int
    seconds: float
    associate_seconds: float


def track_video(
    detector: Detector, source: str, config: TrackConfig, folder: Path, listener: Listener = SILENT
) -> TrackSummary:
    """Follow the objects of a video file, a webcam (its index) or a stream (URL).

    Writes `tracks.txt` (MOT, see `yolocore.track.mot`) and, unless `config.save` is off, `tracked.mp4` into the
    folder. A live source is followed until it ends or is interrupted from the keyboard.
    Raises what `Video`, `VideoFile` and the detector raise, and DataError for a video without a frame.
    """
    started = time.perf_counter()
    numbers: list[int] = []
    associating = 0.0
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(Video(source))
        rate = video.fps / config.vid_stride
        tracker = ByteTrack(config, rate)
        text = stack.enter_context((folder / TRACKS_FILE).open("w", encoding="utf-8"))
        drawn = stack.enter_context(VideoFile(folder / VIDEO_FILE, rate, video.size)) if config.save else None
        trails: Trails = {}
        listener.start("track", video.length and -(-video.length // config.vid_stride))
        with until_interrupted(live=video.length is None):
            for number, image in video.frames(config.vid_stride):
                (detections,) = detector.detect(
                    [image],
                    conf=config.conf,
                    iou=config.iou,
                    max_det=config.max_det,
                    classes=config.classes,
                    imgsz=config.imgsz,
                )
                detected = time.perf_counter()
                tracked = tracker.update(detections)
                associating += time.perf_counter() - detected
                text.writelines(mot_lines(number, tracked))
                if drawn:
                    trails = lengthen(trails, tracked)
                    draw_tracks(image, tracked, detector.meta.names, trails)
                    drawn.write(image)
                numbers.append(number)
                listener.advance(tracks=len(tracked))
        if not numbers:
            raise DataError(f"source={source}: holds no frame that can be read")
        if video.length is not None and numbers[-1] + config.vid_stride <= video.length:
            listener.note(f"source={source}: states {video.length} frames, ends at frame {numbers[-1]}")
    return TrackSummary(tuple(numbers), tracker.identities, time.perf_counter() - started, associating)


Trails = dict[int, deque[tuple[int, int]]]


def lengthen(trails: Trails, tracked: Detections) -> Trails:
    """The trails of the tracks in view: where the middle of each one's lower edge has been, in pixels."""
    assert tracked.track_ids is not None
    feet = np.stack([(tracked.boxes[:, 0] + tracked.boxes[:, 2]) / 2, tracked.boxes[:, 3]], axis=1).round().astype(int)
    longer: Trails = {}
    for identity, (x, y) in zip(tracked.track_ids.tolist(), feet.tolist(), strict=True):
        longer[identity] = trails.get(identity, deque(maxlen=TRAIL))
        longer[identity].append((x, y))
    return longer


def draw_tracks(image: Image, tracked: Detections, names: tuple[str, ...], trails: Trails) -> None:
    """Draw boxes, identities and trails into the frame, in place, each identity in its own colour."""
    assert tracked.track_ids is not None
    for identity, trail in trails.items():
        cv2.polylines(image, [np.array(trail)], False, colour(identity), line_width(image), cv2.LINE_AA)
    for box, class_index, identity in zip(tracked.boxes, tracked.classes, tracked.track_ids.tolist(), strict=True):
        draw_box(image, box, f"{identity} {names[class_index]}", colour(identity))
