"""The loop on real videos: what is written is what was in the picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.runtimes.bright import BrightRuntime
from yolocore.config import TrackConfig
from yolocore.detections import Detections
from yolocore.errors import DataError
from yolocore.media import Video
from yolocore.runtimes.detector import LocalDetector
from yolocore.track.metrics import evaluate_tracks
from yolocore.track.mot import read_mot
from yolocore.track.video import TRACKS_FILE, VIDEO_FILE, draw_tracks, lengthen, track_video

Film = Callable[..., Path]
RIGHT = [(40 + 6 * t, 80) for t in range(30)]
LEFT = [(280 - 6 * t, 160) for t in range(30)]


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int | None]] = []
        self.advanced = 0
        self.notes: list[str] = []

    def start(self, label: str, total: int | None) -> None:
        self.started.append((label, total))

    def advance(self, n: int = 1, **figures: float) -> None:
        self.advanced += n

    def epoch(self, number: int, row: Mapping[str, float]) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_tracks_are_the_truth_where_everything_is_plain(film: Film, bright, tmp_path: Path) -> None:
    source, heard = film(RIGHT, LEFT), Heard()
    summary = track_video(bright, str(source), TrackConfig(), tmp_path, heard)
    assert summary.frames == tuple(range(1, 31)) and summary.identities == 2
    assert heard.started == [("track", 30)] and heard.advanced == 30 and heard.notes == []

    tracks, truth = read_mot(tmp_path / TRACKS_FILE), read_mot(source.with_name("gt.txt"))
    measured = evaluate_tracks(truth, tracks)
    assert measured.mota == measured.idf1 == 1
    assert measured.hota > 0.9
    assert len(set(zip(tracks.ids.tolist(), tracks.classes.tolist(), strict=True))) == 2, "each has one class"


def test_the_drawn_video_has_the_frames_of_the_first_and_the_boxes_in_them(film: Film, bright, tmp_path: Path) -> None:
    source = film(RIGHT, LEFT, fps=20)
    track_video(bright, str(source), TrackConfig(), tmp_path)
    with Video(str(tmp_path / VIDEO_FILE)) as drawn, Video(str(source)) as plain:
        assert (drawn.fps, drawn.size, drawn.length) == (20, (320, 240), 30)
        *_, (_, after) = drawn.frames()
        *_, (_, before) = plain.frames()
    changed = np.abs(after.astype(int) - before).max(axis=-1) > 60
    x, y = RIGHT[-1]
    assert changed[y - 20, x - 12 : x + 12].mean() > 0.8, "the upper edge of the first box"
    assert changed[y + 20, x - 90 : x - 20].mean() > 0.8, "the trail of its foot"
    assert not changed[:40].any(), "nothing where nothing is"


def test_stride_keeps_the_numbers_of_the_frames(film: Film, bright, tmp_path: Path) -> None:
    summary = track_video(bright, str(film(RIGHT, LEFT)), TrackConfig(vid_stride=4), tmp_path)
    assert summary.frames == tuple(range(1, 31, 4))
    assert set(read_mot(tmp_path / TRACKS_FILE).frames) <= set(summary.frames)
    with Video(str(tmp_path / VIDEO_FILE)) as drawn:
        assert (drawn.fps, drawn.length) == (7.5, 8)


def test_an_object_that_hides_comes_back_as_itself(film: Film, bright, tmp_path: Path) -> None:
    hidden = [*RIGHT[:12], *[None] * 6, *RIGHT[18:]]
    summary = track_video(bright, str(film(hidden, LEFT)), TrackConfig(save=False), tmp_path)
    assert summary.identities == 2
    assert not (tmp_path / VIDEO_FILE).exists()


def motion_jpeg(path: Path) -> cv2.VideoWriter:
    """A writer of 320 × 240 pixels in a form that can be read when it is cut off."""
    # FFmpeg asks for its log level once in a process; other tests need it to be the one that media.py sets.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    return cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))


def test_a_video_that_ends_before_its_time_is_told_of(bright, tmp_path: Path) -> None:
    torn, heard = tmp_path / "torn.avi", Heard()
    writer = motion_jpeg(torn)
    noise = np.random.default_rng(0)
    for _ in range(30):
        writer.write(noise.integers(0, 255, (240, 320, 3), np.uint8))
    writer.release()
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size * 6 // 10])
    summary = track_video(bright, str(torn), TrackConfig(save=False), tmp_path, heard)
    assert 1 < len(summary.frames) < 30
    assert heard.notes == [f"source={torn}: states 30 frames, ends at frame {len(summary.frames)}"]


def test_a_video_without_a_frame_is_refused(bright, tmp_path: Path) -> None:
    empty = tmp_path / "empty.avi"
    writer = motion_jpeg(empty)
    writer.write(np.zeros((240, 320, 3), np.uint8))
    writer.release()
    head = empty.read_bytes()
    empty.write_bytes(head[: head.index(b"movi") + 4])
    with pytest.raises(DataError, match=r"empty.avi: (holds no frame|is no video)"):
        track_video(bright, str(empty), TrackConfig(), tmp_path)


class Interrupted:
    """The detector of somebody who presses Ctrl-C at the third frame."""

    def __init__(self, detector) -> None:
        self.meta, self.timings, self._detector, self._left = detector.meta, detector.timings, detector, 2

    def detect(self, images, **settings) -> list[Detections]:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._detector.detect(images, **settings)


def test_ctrl_c_stops_work_on_a_file(film: Film, bright, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        track_video(Interrupted(bright), str(film(RIGHT, LEFT)), TrackConfig(), tmp_path)


def test_ctrl_c_ends_a_live_source_well(camera: str, bright, tmp_path: Path) -> None:
    summary = track_video(Interrupted(bright), camera, TrackConfig(), tmp_path)
    assert len(summary.frames) == 2
    with Video(str(tmp_path / VIDEO_FILE)) as drawn:
        assert drawn.length == 2


def test_trails_are_short_and_end_with_their_track() -> None:
    def at(x: float, identity: int) -> Detections:
        box = np.array([[x, 10, x + 20, 50]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64), np.array([identity]))

    trails: dict = {}
    for x in range(100):
        trails = lengthen(trails, at(x, 1))
    assert list(trails[1]) == [(x + 10, 50) for x in range(70, 100)]
    assert list(lengthen(trails, at(0, 2))) == [2]


def test_nothing_to_draw_changes_nothing() -> None:
    image = np.full((40, 40, 3), 7, np.uint8)
    nothing = Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    )
    draw_tracks(image, nothing, ("thing",), lengthen({}, nothing))
    assert (image == 7).all()


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_the_boxes_of_any_objects_are_followed(task: str, film: Film, tmp_path: Path) -> None:
    detector = LocalDetector(BrightRuntime(task=task))
    summary = track_video(detector, str(film(RIGHT, RIGHT)), TrackConfig(save=False), tmp_path)
    assert summary.identities == 1
    assert len(read_mot(tmp_path / TRACKS_FILE)) == len(RIGHT)
