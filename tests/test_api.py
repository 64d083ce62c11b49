"""The Python door: modes as methods, arrays without files, mistakes before anything runs."""

import cv2
import numpy as np
import pytest

import yolocore
from tests.runtimes.bright import picture
from tests.serve.finder import write_network
from yolocore import YOLO
from yolocore.errors import ModelError, UsageError

BOX = (16, 24, 48, 56)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model that finds the bright rectangle, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return YOLO(write_network(tmp_path / "finder.onnx"))


@pytest.fixture
def image():
    return picture((96, 128), BOX)


def test_arrays_give_detections_and_leave_nothing(model, image, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    (found,) = model.predict(image)
    assert found.boxes == pytest.approx(np.array([BOX]), abs=1)
    assert len(model.predict([image, image])) == 2
    assert model.predict(image).result is None
    assert sorted(tmp_path.rglob("*")) == before


def test_a_source_by_name_is_a_step_with_a_record(model, image, tmp_path):
    cv2.imwrite(str(tmp_path / "picture.png"), image)
    predictions = model.predict(tmp_path / "picture.png", save=False)
    (found,) = predictions
    assert found.boxes == pytest.approx(np.array([BOX]), abs=1)
    assert predictions.result.folder.resolve() == tmp_path / "runs/predict"
    assert predictions.result.record.frames == 1
    assert predictions.result.metrics["objects"] == 1
    assert predictions.result.path("predictions").is_file()


def test_an_image_without_objects_gives_empty_detections(model, tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((96, 128, 3), np.uint8))
    (found,) = model.predict("black.png", save=False)
    assert (found.boxes.shape, found.scores.shape, found.classes.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize(
    ("call", "error", "line"),
    [
        pytest.param(lambda m: m.train(data="x", epoch=3), UsageError, "did you mean 'epochs'?", id="misspelt key"),
        pytest.param(lambda m: m.val(data="x", iou=7), UsageError, "iou=7", id="out of range"),
        pytest.param(lambda m: m.predict([], cnf=1), UsageError, "did you mean 'conf'?", id="misspelt, with arrays"),
        pytest.param(lambda m: m.export(format="onyx"), UsageError, "format='onyx'", id="unknown format"),
        pytest.param(lambda m: YOLO("none.pt").predict("x.jpg"), ModelError, "none.pt", id="no such model"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(model, tmp_path, call, error, line):
    with pytest.raises(error) as caught:
        call(model)
    assert line in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_the_package_has_no_other_surprises():
    with pytest.raises(AttributeError, match="no attribute 'YOLOv5'"):
        yolocore.YOLOv5  # noqa: B018
