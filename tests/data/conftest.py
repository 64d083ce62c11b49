"""Small datasets that the tests of this room build."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

_DRAWING = ("resize", "warpAffine", "warpPerspective", "flip", "transform", "addWeighted", "copyTo", "LUT")


@pytest.fixture(autouse=True)
def written_in_place(monkeypatch):
    """OpenCV leaves a `dst` of another shape as it is, and returns an array of its own: nobody may ask for that."""
    for name in _DRAWING:
        monkeypatch.setattr(cv2, name, _checked(getattr(cv2, name)))


def _checked(function):
    def call(*arguments, dst=None, **named):
        result = function(*arguments, dst=dst, **named)
        assert dst is None or np.shares_memory(result, dst), f"{function.__name__} did not write into dst"
        return result

    return call


def _jpeg(seed: int, height: int = 40, width: int = 60) -> bytes:
    """A noisy JPEG that differs with the seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture(scope="session")
def jpeg():
    return _jpeg


@pytest.fixture
def yolo_folder(tmp_path):
    """Builds a folder in YOLO form: images 60 wide and 40 high, each with the given label text."""

    def build(labels: dict[str, str], name: str = "set", **description) -> Path:
        root = tmp_path / name
        for seed, (stem, text) in enumerate(labels.items()):
            image = root / "images" / f"{stem}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(_jpeg(seed))
            label = root / "labels" / f"{stem}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
        content = {"train": "images/train", "val": "images/val", "names": ["cat", "dog"], **description}
        (root / "dataset.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
        return root

    return build


@pytest.fixture
def class_folders(tmp_path):
    """Builds a folder of these images, each in the folder of its class."""

    def build(*images: str, name: str = "set") -> Path:
        for seed, image in enumerate(images):
            path = tmp_path / name / image
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_jpeg(seed))
        return tmp_path / name

    return build
