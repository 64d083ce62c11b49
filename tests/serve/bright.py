"""A hand-made detector for pictures of one bright rectangle: exact, tiny, with the exports' signatures.

`serving` looks at source pixels itself; `network` is the same finder in the form that needs letterbox
and suppression around it. So what a server adds or breaks shows as a difference of boxes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

NAMES = ("rectangle", "nothing")
META = json.dumps({"task": "detect", "scale": "n", "names": NAMES, "imgsz": 64, "stride": 32})


def _find(axis: int, tag: str) -> list[onnx.NodeProto]:
    """Nodes that give the first bright index and the one past the last, along the rows or columns of `mask`."""
    other = 2 if axis == 1 else 1
    return [
        helper.make_node("ReduceMax", ["mask", f"other{other}"], [f"{tag}_line"], keepdims=0),
        helper.make_node("ArgMax", [f"{tag}_line"], [f"{tag}_first"], axis=1, keepdims=1),
        helper.make_node("ArgMax", [f"{tag}_line"], [f"{tag}_last"], axis=1, keepdims=1, select_last_index=1),
        helper.make_node("Add", [f"{tag}_last", "one"], [f"{tag}_end"]),
    ]


def _constant(name: str, value: object, dtype: type = np.int64) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(np.asarray(value, dtype), name)


def serving(path: Path, *, max_det: int = 5, score: float = 0.9, shift: float = 0.0, batch: str | int = "B") -> Path:
    """image UINT8 [B,H,W,3] → boxes f32 [B,max_det,4], scores f32, classes i32, count i32 [B].

    shift: pixels by which every box is wrong, for models that must be refused.
    """
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels", "other3"], ["brightness"], keepdims=0),
        helper.make_node("Greater", ["brightness", "half"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["mask"], to=TensorProto.FLOAT),
        *_find(1, "y"),
        *_find(2, "x"),
        helper.make_node("Concat", ["x_first", "y_first", "x_end", "y_end"], ["corners"], axis=1),
        helper.make_node("Cast", ["corners"], ["corners_f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["corners_f", "shift"], ["shifted"]),
        helper.make_node("ReduceMax", ["mask", "others"], ["any"], keepdims=1),
        helper.make_node("Squeeze", ["any", "other2"], ["any_b1"]),
        helper.make_node("Mul", ["shifted", "any_b1"], ["found"]),
        helper.make_node("Unsqueeze", ["found", "one"], ["row"]),
        helper.make_node("Pad", ["row", "pad_boxes"], ["boxes"]),
        helper.make_node("Mul", ["any_b1", "score"], ["one_score"]),
        helper.make_node("Pad", ["one_score", "pad_scores"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["scores_i"], to=TensorProto.INT32),
        helper.make_node("Mul", ["scores_i", "zero"], ["classes"]),
        helper.make_node("Squeeze", ["any_b1", "one"], ["any_b"]),
        helper.make_node("Cast", ["any_b"], ["count"], to=TensorProto.INT32),
    ]
    constants = [
        _constant("half", 127.0, np.float32),
        _constant("shift", [shift] * 4, np.float32),
        _constant("score", score, np.float32),
        _constant("zero", 0, np.int32),
        _constant("one", [1]),
        _constant("other1", [1]),
        _constant("other2", [2]),
        _constant("other3", [3]),
        _constant("others", [1, 2]),
        _constant("pad_boxes", [0, 0, 0, 0, max_det - 1, 0]),
        _constant("pad_scores", [0, 0, 0, max_det - 1]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, "H", "W", 3])]
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, max_det, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, max_det]),
        helper.make_tensor_value_info("classes", TensorProto.INT32, [batch, max_det]),
        helper.make_tensor_value_info("count", TensorProto.INT32, [batch]),
    ]
    return _save(path, helper.make_graph(nodes, "bright", inputs, outputs, constants))


def _save(path: Path, graph: onnx.GraphProto) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"yolocore": META})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path
