"""The smallest files that look like exported networks, to be right or wrong in any way."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from yolocore.meta import ModelMeta
from yolocore.runtimes.base import META_KEY

META = ModelMeta(names=("a", "b"), imgsz=64)
META_JSON = META.model_dump_json()
POSE_JSON = ModelMeta(task="pose", names=("a", "b"), keypoints=(2, 3)).model_dump_json()
SEGMENT_JSON = ModelMeta(task="segment", names=("a", "b")).model_dump_json()

# Changes of a network (see below) that make it another's, and what every engine says of it.
OTHER_NETWORKS = [
    pytest.param({"rows": 9}, "6 numbers as a model for detect", id="classes and names disagree"),
    pytest.param({"meta": POSE_JSON}, "12 numbers as a model for pose", id="no keypoints"),
    pytest.param({"meta": SEGMENT_JSON, "rows": 38}, "model for segment", id="no prototypes"),
    pytest.param({"dtype": TensorProto.UINT8}, "not the serving model", id="takes bytes, not pixels in 0..1"),
]


def write_network(path: Path, *, batch="b", side="s", rows=6, dtype=TensorProto.FLOAT, meta=META_JSON):
    """A network with the interface of a YOLO: each row of its one anchor holds the mean of the picture."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=1),
            helper.make_node("Reshape", ["mean", "column"], ["anchor"]),
            helper.make_node("Expand", ["anchor", "rows"], ["output"]),
        ],
        "network",
        [helper.make_tensor_value_info("images", dtype, [batch, 3, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, rows, 1])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
            helper.make_tensor("column", TensorProto.INT64, [3], [-1, 1, 1]),
            helper.make_tensor("rows", TensorProto.INT64, [3], [1, rows, 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if meta is not None:
        helper.set_model_props(model, {META_KEY: meta})
    onnx.save(model, path)
    return path
