"""A detector in a few ONNX nodes, with the signatures of what export writes: it finds one bright rectangle.

Class 0 is red, class 1 green, so that swapped channels show. `write_serving` looks at source pixels itself;
`write_network` is the same finder in the form that needs letterbox and suppression around it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.runtimes.bright import picture
from yolocore.config import ExportConfig
from yolocore.meta import ModelMeta
from yolocore.records import FILE_NAME, ExportRecord
from yolocore.runtimes.base import META_KEY
from yolocore.runtimes.triton import ServingInfo

META = ModelMeta(names=("red", "green"), imgsz=64)
INFO = ServingInfo(meta=META, conf=0.25, iou=0.7, max_det=5)
SCORE = 0.9

_CONSTANTS = {
    "bright": np.float32(0.75),
    "score": np.float32(SCORE),
    "half": np.float32(0.5),
    "byte": np.float32(255),
    "no": np.int64([0]),
    "one": np.int64([1]),
    "two": np.int64([2]),
    "three": np.int64([3]),
    "sides": np.int64([2, 3]),
}


def write_serving(
    path: Path,
    *,
    shift: float = 0.0,
    green_shift: float = 0.0,
    max_det: int = INFO.max_det,
    batch: str | int = "batch",
    boxes_name: str = "boxes",
) -> Path:
    """image uint8 (B, H, W, 3) RGB → boxes, scores, classes, count.

    shift, green_shift: pixels by which every box, and every green one, is wrong. The others make models that serving
    must refuse.
    """
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["wide"], to=TensorProto.FLOAT),
        node("Div", ["wide", "byte"], ["last"]),
        node("Transpose", ["last"], ["pixels"], perm=[0, 3, 1, 2]),
        *_finder(),
        node("Mul", ["green", "green_shift"], ["more"]),
        node("Add", ["corners", "more"], ["moved"]),
        node("Add", ["moved", "shift"], ["shifted"]),
        node("Mul", ["shifted", "any"], ["box"]),
        node("Unsqueeze", ["box", "one"], ["row"]),
        node("Pad", ["row", "pad_boxes"], [boxes_name]),
        node("Mul", ["any", "score"], ["one_score"]),
        node("Pad", ["one_score", "pad_row"], ["scores"]),
        node("Cast", ["green"], ["class"], to=TensorProto.INT32),
        node("Pad", ["class", "pad_row"], ["classes"]),
        node("Squeeze", ["any", "one"], ["flag"]),
        node("Cast", ["flag"], ["count"], to=TensorProto.INT32),
    ]
    constants = {
        "shift": np.full(4, shift, np.float32),
        "green_shift": np.full(4, green_shift, np.float32),
        "pad_boxes": np.int64([0, 0, 0, 0, max_det - 1, 0]),
        "pad_row": np.int64([0, 0, 0, max_det - 1]),
    }
    tensor = helper.make_tensor_value_info
    inputs = [tensor("image", TensorProto.UINT8, [batch, "height", "width", 3])]
    outputs = [
        tensor(boxes_name, TensorProto.FLOAT, [batch, max_det, 4]),
        tensor("scores", TensorProto.FLOAT, [batch, max_det]),
        tensor("classes", TensorProto.INT32, [batch, max_det]),
        tensor("count", TensorProto.INT32, [batch]),
    ]
    return _save(path, nodes, inputs, outputs, constants)


def write_network(path: Path) -> Path:
    """images float32 (B, 3, H, W) RGB → (B, 4 + 2, 1): the only anchor's box and class scores."""
    node = helper.make_node
    nodes = [
        node("Identity", ["images"], ["pixels"]),
        *_finder(),
        node("Add", ["near", "far"], ["sum"]),
        node("Mul", ["sum", "half"], ["centre"]),
        node("Sub", ["far", "near"], ["size"]),
        node("Mul", ["any", "score"], ["found"]),
        node("Mul", ["found", "green"], ["green_score"]),
        node("Sub", ["found", "green_score"], ["red_score"]),
        node("Concat", ["centre", "size", "red_score", "green_score"], ["flat"], axis=1),
        node("Unsqueeze", ["flat", "two"], ["predictions"]),
    ]
    tensor = helper.make_tensor_value_info
    inputs = [tensor("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])]
    outputs = [tensor("predictions", TensorProto.FLOAT, ["batch", 6, 1])]
    return _save(path, nodes, inputs, outputs, {})


def _finder() -> list[onnx.NodeProto]:
    """`pixels` (B, 3, H, W) in 0..1 → `near`, `far` (B, 2) x and y; `corners` (B, 4); `any`, `green` (B, 1)."""
    node = helper.make_node
    edges = []
    for side, other in (("y", "three"), ("x", "two")):
        edges += [
            node("ReduceMax", ["mask", other], [f"{side}_line"], keepdims=0),
            node("ArgMax", [f"{side}_line"], [f"{side}_first"], axis=2, keepdims=0),
            node("ArgMax", [f"{side}_line"], [f"{side}_last"], axis=2, keepdims=0, select_last_index=1),
            node("Add", [f"{side}_last", "one"], [f"{side}_end"]),
        ]
    return [
        node("ReduceMax", ["pixels", "one"], ["light"], keepdims=1),
        node("Greater", ["light", "bright"], ["lit"]),
        node("Cast", ["lit"], ["mask"], to=TensorProto.FLOAT),
        *edges,
        node("Concat", ["x_first", "y_first"], ["near_int"], axis=1),
        node("Concat", ["x_end", "y_end"], ["far_int"], axis=1),
        node("Cast", ["near_int"], ["near"], to=TensorProto.FLOAT),
        node("Cast", ["far_int"], ["far"], to=TensorProto.FLOAT),
        node("Concat", ["near", "far"], ["corners"], axis=1),
        node("ReduceMax", ["mask", "sides"], ["any"], keepdims=0),
        node("ReduceMax", ["pixels", "sides"], ["channels"], keepdims=0),
        node("Slice", ["channels", "no", "one", "one"], ["reds"]),
        node("Slice", ["channels", "one", "two", "one"], ["greens"]),
        node("Greater", ["greens", "reds"], ["is_green"]),
        node("Cast", ["is_green"], ["green"], to=TensorProto.FLOAT),
    ]


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, np.ndarray],
) -> Path:
    used = {name for each in nodes for name in each.input}
    values = {**_CONSTANTS, **constants}.items()
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in values if name in used]
    graph = helper.make_graph(nodes, "finder", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {META_KEY: META.model_dump_json()})
    onnx.save(model, path)
    return path


def write_export(folder: Path, *, info: ServingInfo = INFO, **wrong: float) -> Path:
    """The folder that an export step leaves. info: what is built into the served model. wrong: see `write_serving`."""
    folder.mkdir(parents=True)
    write_network(folder / "model.onnx")
    write_serving(folder / "serving.onnx", max_det=info.max_det, **wrong)
    record = ExportRecord(
        step="export",
        key="sha256:0",
        program="0",
        config=ExportConfig(conf=info.conf, iou=info.iou, max_det=info.max_det).identity(),
        inputs={"model": "sha256:" + "c" * 64},
        artifacts={},
        views=(),
        metrics={},
        versions={},
        timings={},
        format="onnx",
        parity=(),
    )
    (folder / FILE_NAME).write_text(record.to_json())
    return folder


def write_dataset(folder: Path, images: int = 10) -> Path:
    """A YOLO folder whose val pictures the finder finds exactly: one rectangle each, red and green by turns."""
    (folder / "images" / "val").mkdir(parents=True)
    (folder / "labels" / "val").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(images):
        height, width = (48, 64) if index % 3 else (64, 40)
        x1, y1 = rng.integers(0, 15, 2)
        x2, y2 = x1 + rng.integers(8, 20), y1 + rng.integers(8, 20)
        image = picture((height, width), (x1, y1, x2, y2), green=index % 2 == 1)
        cv2.imwrite(str(folder / "images" / "val" / f"{index}.png"), image)
        centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        label = f"{index % 2} " + " ".join(f"{value:.6f}" for value in centre)
        (folder / "labels" / "val" / f"{index}.txt").write_text(label + "\n")
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(META.names))
    (folder / "dataset.yaml").write_text(f"path: .\ntrain: images/val\nval: images/val\nnames:\n{names}\n")
    return folder / "dataset.yaml"
