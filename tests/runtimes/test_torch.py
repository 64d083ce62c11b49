"""The torch engine: it computes what the model does, and public weights give their recorded detections."""

import json
from collections import defaultdict

import numpy as np
import pytest
import torch

from yolocore.boxes import iou_matrix
from yolocore.data.images import decode_image
from yolocore.errors import ModelError, UsageError
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import save_weights
from yolocore.model.device import half_type
from yolocore.model.yolo11 import build
from yolocore.runtimes.detector import LocalDetector
from yolocore.runtimes.torch import TorchRuntime

META = ModelMeta(names=("circle", "square", "triangle"), imgsz=96)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build("n", len(META.names)).eval()


def test_computes_what_the_model_does(tmp_path, model):
    save_weights(tmp_path / "best.pt", model, META)
    batch = np.random.default_rng(0).random((2, 3, 64, 96), np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(batch))[0].numpy()
    read, live = TorchRuntime(tmp_path / "best.pt", "cpu"), TorchRuntime.of(model, META)
    assert read.meta == live.meta == META
    for runtime in (read, live):
        (found,) = runtime.forward(batch)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


needs_bfloat16 = pytest.mark.skipif(half_type(torch.device("cpu")) is None, reason="needs a CPU with bfloat16")


@needs_bfloat16
def test_half_precision_is_the_networks_alone(tmp_path, model):
    save_weights(tmp_path / "best.pt", model, META)
    batch = np.random.default_rng(0).random((1, 3, 640, 640), np.float32)
    (expected,), (found,) = (TorchRuntime(tmp_path / "best.pt", "cpu", half).forward(batch) for half in (False, True))
    difference = np.abs(found - expected)[0]
    strides = np.repeat([8, 16, 32], [80 * 80, 40 * 40, 20 * 20])
    assert difference.max() > 0 and (difference[:4] <= 0.1 * strides).all() and difference[4:].max() < 0.01
    scores = torch.from_numpy(found[0, 4:])
    assert (scores.bfloat16() != scores).float().mean() > 0.9  # decoded from what it said in float32


@pytest.mark.parametrize(
    ("path", "device", "half", "error", "message"),
    [
        pytest.param("best.pt", "cuda", False, UsageError, "device='cuda': 0 CUDA devices are here", id="no GPU"),
        pytest.param("best.pt", "cpu", True, UsageError, "half=True: this CPU has no bfloat16", id="no bfloat16"),
        pytest.param("gone.pt", "cpu", False, ModelError, "gone.pt: cannot be read", id="no file"),
    ],
)
def test_refuses(tmp_path, monkeypatch, path, device, half, error, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.raises(error, match=message):
        TorchRuntime(tmp_path / path, device, half)


@pytest.fixture(scope="module")
def recorded(shared):
    """Detections that another program recorded for the public weights, by image."""
    rows = defaultdict(list)
    for row in json.loads((shared / "facts/reference/detect_coco_train_detections.json").read_text()):
        rows[row["file_name"]].append(row)
    return rows


@pytest.fixture(scope="module")
def detector(shared):
    return LocalDetector(TorchRuntime(shared / "data/weights/yolo11n.pt", "cpu"))


@pytest.mark.parametrize("position", range(0, 120, 20))
def test_public_weights_give_their_recorded_detections(shared, recorded, detector, position):
    name = sorted(recorded)[position]
    image = decode_image((shared / "data/coco/images" / name).read_bytes(), name)
    (found,) = detector.detect([image], conf=0.001, iou=0.7, max_det=300, multi_label=True, imgsz=640, pad=0.5)
    # Of the faintest detections, any may fall past the 300th.
    rows = [row for row in recorded[name] if row["score"] > 0.01]
    corners = np.array([row["bbox"] for row in rows], np.float32)
    corners[:, 2:] += corners[:, :2]
    classes = np.array([row["category_id"] - 1 for row in rows])
    overlap = iou_matrix(found.boxes, corners) * (found.classes[:, None] == classes)
    matched, best = overlap.max(axis=0) > 0.9, overlap.argmax(axis=0)
    # The recording program shifts boxes by 7680 pixels a class before it suppresses, which rounds them: a pair
    # whose IoU lies at the threshold was judged otherwise here and there.
    assert matched.mean() > 0.99
    assert overlap.max(axis=0)[matched].min() > 0.99
    scores = np.array([row["score"] for row in rows])
    assert np.abs(found.scores[best] - scores)[matched].max() < 0.005
