"""One network, its engines: PyTorch, ONNX Runtime, OpenVINO, and the served graph that takes the image itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from bench.harness import compare
from yolocore.export.onnx import network_model
from yolocore.export.openvino import save_openvino
from yolocore.export.serving import serving_model
from yolocore.meta import ModelMeta
from yolocore.model.yolo11 import build
from yolocore.runtimes.detector import LocalDetector
from yolocore.runtimes.onnx import OnnxRuntime
from yolocore.runtimes.openvino import OpenVinoRuntime
from yolocore.runtimes.torch import TorchRuntime

SETTINGS = {"conf": 0.25, "iou": 0.7, "max_det": 300}


def main() -> None:
    meta = ModelMeta(names=tuple(f"class {i}" for i in range(80)))
    model = build("n", len(meta.names)).eval()
    network = network_model(model, meta, dynamic=True, simplify=True, opset=20)
    serving = onnxruntime.InferenceSession(serving_model(network, meta, **SETTINGS).SerializeToString())
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path, ir = Path(folder) / "model.onnx", Path(folder) / "model.openvino"
        onnx.save(network, path)
        save_openvino(network, meta, ir)
        in_torch = LocalDetector(TorchRuntime.of(model, meta))
        in_onnx = LocalDetector(OnnxRuntime(path, device="cpu"))
        in_openvino = LocalDetector(OpenVinoRuntime(ir))
        compare(
            "yolo11n at 640 × 640, from a 640 × 480 image to its boxes, all cores",
            {
                "torch": lambda: in_torch.detect([image], rect=False, **SETTINGS),
                "onnxruntime": lambda: in_onnx.detect([image], rect=False, **SETTINGS),
                "openvino": lambda: in_openvino.detect([image], rect=False, **SETTINGS),
                "served graph, in process": lambda: serving.run(None, {"image": image[None]}),
            },
        )
