"""The loop: every picture and frame is looked at once, and what was asked for lies in the folder."""

import json

import cv2
import numpy as np
import pytest

from tests.runtimes.bright import BrightRuntime, encoded, picture
from yolocore.config import PredictConfig
from yolocore.errors import DataError, UsageError
from yolocore.media import Video, VideoFile
from yolocore.meta import TASKS
from yolocore.predict import look, predict
from yolocore.runtimes.detector import LocalDetector

BOX = (20, 10, 60, 40)


@pytest.fixture
def detector():
    return LocalDetector(BrightRuntime())


@pytest.fixture
def source(tmp_path):
    """Two stills and a video of seven frames."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "red.png").write_bytes(encoded(picture((64, 96), BOX)))
    (folder / "deep" / "nothing.png").write_bytes(encoded(picture((64, 96))))
    with VideoFile(folder / "green.mp4", 25, (96, 64)) as video:
        for _ in range(7):
            video.write(picture((64, 96), BOX, green=True))
    return folder


def rows(folder):
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_everything_is_looked_at_and_written(detector, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    summary = predict(detector, str(source), PredictConfig(vid_stride=3), out)
    assert summary.frames == 5 and dict(summary.objects) == {"red": 1, "green": 3}
    assert [(row["image"], row["frame"], len(row["objects"])) for row in rows(out)] == [
        ("deep/nothing.png", None, 0),
        ("red.png", None, 1),
        ("green.mp4", 1, 1),
        ("green.mp4", 4, 1),
        ("green.mp4", 7, 1),
    ]
    np.testing.assert_allclose(rows(out)[1]["objects"][0]["box"], BOX, atol=1)
    pictures = ["pictures/deep/nothing.jpg", "pictures/green.mp4", "pictures/red.jpg"]
    labels = [f"labels/{stem}.txt" for stem in ("deep/nothing", "green_1", "green_4", "green_7", "red")]
    assert files(out) == sorted([*pictures, *labels, "predictions.jsonl"])
    assert sorted(summary.pictures) == pictures
    drawn = cv2.imread(str(out / "pictures" / "red.jpg"))
    assert drawn.shape == (64, 96, 3) and np.abs(drawn.astype(int) - picture((64, 96), BOX)).max() > 100
    with Video(str(out / "pictures" / "green.mp4")) as video:
        assert (video.length, video.size) == (3, (96, 64))
        assert video.fps == pytest.approx(25 / 3, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"save": False}, ["labels/red.txt", "predictions.jsonl"], id="no pictures"),
        pytest.param({"save_txt": False}, ["pictures/red.jpg", "predictions.jsonl"], id="no text"),
        pytest.param({"save": False, "save_txt": False}, ["predictions.jsonl"], id="rows only"),
    ],
)
def test_only_what_is_asked_for(detector, source, tmp_path, settings, expected):
    out = tmp_path / "out"
    out.mkdir()
    predict(detector, str(source / "red.png"), PredictConfig(**settings), out)
    assert files(out) == expected


def test_scores_in_the_text_are_an_option(detector, source, tmp_path):
    for save_conf, columns in ((True, 6), (False, 5)):
        predict(detector, str(source / "red.png"), PredictConfig(save_conf=save_conf), tmp_path)
        assert len((tmp_path / "labels" / "red.txt").read_text().split()) == columns


@pytest.mark.parametrize(
    ("settings", "count"),
    [({}, 1), ({"conf": 0.95}, 0), ({"classes": (1,)}, 0), ({"classes": (0, 1)}, 1), ({"imgsz": 32}, 1)],
    ids=["defaults", "conf", "classes without it", "classes with it", "imgsz"],
)
def test_settings_reach_the_detector(detector, settings, count):
    assert len(look(detector, [picture((64, 96), BOX)], PredictConfig(**settings))[0]) == count


@pytest.mark.parametrize("classes", [(2,), (0, 5)])
def test_classes_that_the_model_does_not_have(detector, classes):
    with pytest.raises(UsageError, match=r"^classes=.*: the model knows 0\.\.1$"):
        look(detector, [picture((64, 96))], PredictConfig(classes=classes))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no video", "is no video that can be read"), (b"", "is no video that can be read")],
    ids=["garbage", "empty"],
)
def test_a_broken_video_is_named(detector, tmp_path, content, message):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(DataError, match=rf"clip\.mp4: {message}"):
        predict(detector, str(tmp_path / "clip.mp4"), PredictConfig(), tmp_path)


def test_a_camera_is_followed_to_its_end(detector, camera, tmp_path):
    summary = predict(detector, camera, PredictConfig(save_txt=False), tmp_path)
    assert summary.frames > 0
    assert {row["frame"] for row in rows(tmp_path)} <= set(range(1, 61))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_leaves_its_own(source, tmp_path, task):
    detector, out = LocalDetector(BrightRuntime(task=task)), tmp_path / "out"
    out.mkdir()
    summary = predict(detector, str(source / "red.png"), PredictConfig(), out)
    (row,) = rows(out)
    assert row["task"] == task and dict(summary.objects) == {"red": 1}
    kinds = {"segment": "polygons", "pose": "keypoints", "obb": "corners", "detect": "box"}
    assert row["top"][0]["name"] == "red" if task == "classify" else kinds[task] in row["objects"][0]
    assert (out / "labels/red.txt").read_text()
    assert (cv2.imread(str(out / "pictures/red.jpg")) != cv2.imread(str(source / "red.png"))).any()


def test_a_classifier_leaves_no_class_out():
    detector = LocalDetector(BrightRuntime(task="classify"))
    with pytest.raises(UsageError, match="classes=1: a model for classify weighs all of its classes"):
        look(detector, [picture((64, 96))], PredictConfig(classes=(1,)))
