"""What a model says about itself, and the names of architectures."""

import pytest
from pydantic import ValidationError

from yolocore.meta import TASKS, ModelMeta, architecture


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("yolo11n", ("n", "detect")),
        ("yolo11x-seg", ("x", "segment")),
        ("yolo11s-pose", ("s", "pose")),
        ("yolo11m-cls", ("m", "classify")),
        ("yolo11l-obb", ("l", "obb")),
        pytest.param("yolo11n.pt", None, id="a file"),
        pytest.param("yolo11n-segment", None, id="a task spelt out"),
        pytest.param("yolo11q", None, id="a size that there is not"),
        pytest.param("yolov8n", None, id="another family"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_names_of_architectures(name, expected):
    assert architecture(name) == expected


@pytest.mark.parametrize("task", TASKS)
def test_survives_json(task):
    meta = ModelMeta(task=task, names=("a", "b"), keypoints=(17, 3) if task == "pose" else None)
    assert ModelMeta.model_validate_json(meta.model_dump_json()) == meta


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"task": "pose"}, id="poses without keypoints"),
        pytest.param({"task": "segment", "keypoints": (17, 3)}, id="keypoints of masks"),
        pytest.param({"task": "pose", "keypoints": (17, 4)}, id="four numbers a keypoint"),
        pytest.param({"task": "pose", "keypoints": (0, 3)}, id="no keypoints"),
        pytest.param({"task": "pose", "keypoints": (1_000_000, 3)}, id="a million keypoints"),
        pytest.param({"task": "depth"}, id="a task that there is not"),
        pytest.param({"names": ()}, id="no classes"),
    ],
)
def test_refuses(values):
    with pytest.raises(ValidationError):
        ModelMeta(**{"names": ("a",), **values})
