"""The served model: one ONNX graph from the picture that a client has to the boxes that it wants.

    image uint8 (B, H, W, 3) RGB ─▶ letterbox ─▶ network ─▶ suppression ─▶ boxes, scores, classes, count

RGB, because that is what PIL and every JPEG decoder but OpenCV's hand out. H and W are free. The parts
around the network are the in-graph forms of `yolocore.letterbox` and `yolocore.nms`, of standard
operators only; tests hold them equal.

On a CPU both parts together cost 5 % of the smallest network at 640 pixels: bytes stay bytes where they
are only moved, and after one pass that finds the anchors above `conf`, everything works on those few
alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from yolocore.letterbox import FILL
from yolocore.meta import ModelMeta

_DFL_REACH = 15  # strides: the farthest that a box edge lies from its anchor point, with 16 bins


def serving_model(
    network: onnx.ModelProto, meta: ModelMeta, *, conf: float, iou: float, max_det: int
) -> onnx.ModelProto:
    """Wrap an exported network of dynamic batch (`yolocore.export.onnx`) in letterbox and suppression.

    Input `image`: uint8 (B, H, W, 3) RGB, B images of one shape. Each is fitted into a square of the
    model's imgsz. Outputs, best detections first, rows beyond `count` zero:

    boxes: float32 (B, max_det, 4), x1 y1 x2 y2 in pixels of the image as it was sent, clipped to it.
    scores: float32 (B, max_det). classes: int32 (B, max_det). count: int32 (B,).

    conf, iou, max_det: constants of the graph, with the meaning they have in `yolocore.nms` (best class
    per anchor, suppression within a class).
    """
    graph = _Graph()
    placement = _letterbox(graph, "image", meta.imgsz, canvas=network.graph.input[0].name)
    graph.nodes.extend(network.graph.node)
    graph.constants.extend(network.graph.initializer)
    _suppression(graph, network.graph.output[0].name, placement, meta, conf, iou, max_det)

    tensor = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "serving",
            [tensor("image", TensorProto.UINT8, ["batch", "height", "width", 3])],
            [
                tensor("boxes", TensorProto.FLOAT, ["batch", max_det, 4]),
                tensor("scores", TensorProto.FLOAT, ["batch", max_det]),
                tensor("classes", TensorProto.INT32, ["batch", max_det]),
                tensor("count", TensorProto.INT32, ["batch"]),
            ],
            graph.constants,
        ),
        opset_imports=network.opset_import,
        ir_version=network.ir_version,
        producer_name="yolocore",
    )
    model.metadata_props.extend(network.metadata_props)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Collects nodes written as calls: `graph.Add(a, 0.5)` appends a node and returns its output's name.

    Inputs are names of values, or constants: Python floats become double, ints int64, numpy scalars and
    arrays keep their type.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        return functools.partial(self._add, operator)

    def _add(self, operator: str, *inputs: Any, outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        """name: of the only output; empty: a fresh one. outputs: how many; several are returned as a list."""
        node = f"serving/{operator}_{len(self.nodes)}"
        names = [name or node] if outputs == 1 else [f"{node}:{i}" for i in range(outputs)]
        arguments = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, arguments, names, node, **attributes))
        return names[0] if outputs == 1 else names

    def _constant(self, value: Any) -> str:
        name = f"serving/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


class _Placement(NamedTuple):
    """The in-graph `Letterbox`: names of the values that lead from the canvas back to the source."""

    source: str  # int64 (2,), height and width
    gain: str  # double (2,), of height and width
    before: str  # int64 (2,), pad_top and pad_left


def _letterbox(graph: _Graph, image: str, imgsz: int, canvas: str) -> _Placement:
    """uint8 (B, H, W, 3) → float32 (B, 3, imgsz, imgsz) in 0..1 under the name `canvas`."""
    # In double, where a quotient of pixels that is no whole number never looks like one to Ceil.
    source = graph.Shape(image, start=1, end=3)
    source_sides = graph.Cast(source, to=TensorProto.DOUBLE)
    longest = graph.ReduceMax(source_sides, keepdims=0)
    sides = graph.Ceil(graph.Div(graph.Mul(source_sides, float(imgsz)), longest))
    gain = graph.Div(sides, source_sides)
    size = graph.Cast(sides, to=TensorProto.INT64)
    border = graph.Sub(float(imgsz), sides)
    before = graph.Cast(graph.Round(graph.Sub(graph.Mul(border, 0.5), 0.1)), to=TensorProto.INT64)
    after = graph.Sub(graph.Cast(border, to=TensorProto.INT64), before)

    levels = _resize(graph, graph.Transpose(image, perm=[0, 3, 1, 2]), source, size)
    padded = graph.Pad(levels, graph.Concat([0, 0], before, [0, 0], after, axis=0), np.uint8(FILL))
    graph.Div(graph.Cast(padded, to=TensorProto.FLOAT), np.float32(255), name=canvas)
    return _Placement(source, gain, before)


def _resize(graph: _Graph, planes: str, source: str, size: str) -> str:
    """uint8 (B, 3, H, W) → uint8 (B, 3, h, w), bilinear, as OpenCV resizes bytes.

    OpenCV mixes two rows in fixed point: weights are multiples of 1/2048, and each of the two weighted
    levels is cut down to a quarter before they are added and rounded. Plain bilinear interpolation differs
    from that in every eighth pixel by one level, which moves scores by up to 0.03; doing the same here costs
    a millisecond and leaves a tenth of that. Columns are mixed with exact weights, where it hardly matters.
    """
    source_height, _ = graph.Split(source, [1, 1], axis=0, outputs=2)
    height, width = graph.Split(size, [1, 1], axis=0, outputs=2)
    pixels = graph.Resize(
        graph.Cast(planes, to=TensorProto.FLOAT),
        "",
        "",
        graph.Concat(graph.Shape(planes, end=2), source_height, width, axis=0),
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )

    last = graph.Sub(source_height, 1)
    step = graph.Div(*(graph.Cast(value, to=TensorProto.DOUBLE) for value in (source_height, height)))
    number = graph.Cast(graph.Range(0, graph.Squeeze(height), 1), to=TensorProto.DOUBLE)
    exact = graph.Sub(graph.Mul(graph.Add(number, 0.5), step), 0.5)
    y = graph.Min(graph.Max(exact, 0.0), graph.Cast(last, to=TensorProto.DOUBLE))
    whole = graph.Floor(y)
    upper = graph.Cast(whole, to=TensorProto.INT64)
    lower = graph.Min(graph.Add(upper, 1), last)
    lower_weight = graph.Round(graph.Mul(graph.Sub(y, whole), 2048.0))

    def quarters(row: str, weight: str) -> str:
        """Row `row[i]` of the pixels times weight[i] / 2048, in whole quarters of a level."""
        column = graph.Cast(graph.Unsqueeze(graph.Div(weight, 512.0), [1]), to=TensorProto.FLOAT)
        return graph.Floor(graph.Mul(graph.Gather(pixels, row, axis=2), column))

    mixed = graph.Add(quarters(upper, graph.Sub(2048.0, lower_weight)), quarters(lower, lower_weight))
    rounded = graph.Mul(graph.Add(mixed, np.float32(2)), np.float32(0.25))
    return graph.Cast(rounded, to=TensorProto.UINT8)  # which cuts off the fraction


def _suppression(
    graph: _Graph, prediction: str, placement: _Placement, meta: ModelMeta, conf: float, iou: float, max_det: int
) -> None:
    """float32 (B, 4 + nc, N) as `Runtime.forward` gives it → the four outputs of the served model.

    K candidates of all images stand in one list; M of them are kept.
    """
    rows = 4 + len(meta.names)
    batch = graph.Shape(prediction, end=1)
    best = graph.ReduceMax(graph.Slice(prediction, [4], [rows], [1]), [1], keepdims=0)
    found = graph.Transpose(graph.NonZero(graph.Greater(best, np.float32(conf))), perm=[1, 0])
    image, anchor = graph.Split(found, [1, 1], axis=1, outputs=2)  # (K, 1) each

    # Picking a candidate's rows out of the flat tensor spares the transposition of the whole of it.
    row = graph.Add(graph.Mul(image, rows), np.arange(rows))
    flat = graph.Add(graph.Mul(row, graph.Shape(prediction, start=2)), anchor)
    candidates = graph.Gather(graph.Reshape(prediction, [-1]), flat)
    centre, size, class_scores = graph.Split(candidates, [2, 2, rows - 4], axis=1, outputs=3)
    label = graph.ArgMax(class_scores, axis=1)
    score = graph.ReduceMax(class_scores, [1])

    # The operator's classes are our images: it suppresses within each and keeps max_det of each, best
    # first. Our classes lie side by side on a square grid, too far apart to overlap (on a line, large
    # coordinates would cost float32 twice as many bits).
    side = math.ceil(math.sqrt(len(meta.names)))
    cell = np.float32(meta.imgsz + 2 * _DFL_REACH * meta.stride)
    position = graph.Concat(graph.Mod(label, side), graph.Div(label, side), axis=1)
    apart = graph.Add(centre, graph.Mul(graph.Cast(position, to=TensorProto.FLOAT), cell))
    score_of_image = graph.Mul(  # (B, K): zero where the candidate is another image's
        graph.OneHot(graph.Squeeze(image, [1]), batch, np.array([0, 1], np.float32), axis=0),
        graph.Transpose(score, perm=[1, 0]),
    )
    kept = graph.NonMaxSuppression(
        graph.Unsqueeze(graph.Concat(apart, size, axis=1), [0]),
        graph.Unsqueeze(score_of_image, [0]),
        max_det,
        np.float32(iou),
        np.float32(conf),
        center_point_box=1,
    )
    _, kept_image, pick = graph.Split(kept, [1, 1, 1], axis=1, outputs=3)  # (M, 1) each
    pick = graph.Squeeze(pick, [1])

    # A kept box's row in its image's answer is how many of that image come before it.
    of_image = graph.OneHot(graph.Squeeze(kept_image, [1]), batch, np.array([0, 1]), axis=0)  # (B, M)
    order = graph.ReduceSum(graph.Mul(of_image, graph.CumSum(of_image, 1, exclusive=1)), [0], keepdims=0)
    place = graph.Concat(kept_image, graph.Unsqueeze(order, [1]), axis=1)

    half = graph.Mul(graph.Gather(size, pick), np.float32(0.5))
    middle = graph.Gather(centre, pick)
    corners = graph.Concat(graph.Sub(middle, half), graph.Add(middle, half), axis=1)
    before, gain, limit = (
        graph.Cast(graph.Gather(value, [1, 0, 1, 0]), to=TensorProto.FLOAT)
        for value in (placement.before, placement.gain, placement.source)
    )
    restored = graph.Div(graph.Sub(corners, before), gain)
    boxes = graph.Min(graph.Max(restored, np.float32(0)), limit)

    def answer(values: str, dtype: type, shape: list[int], name: str) -> None:
        zero = numpy_helper.from_array(np.zeros(1, dtype))
        blank = graph.ConstantOfShape(graph.Concat(batch, shape, axis=0), value=zero)
        graph.ScatterND(blank, place, values, name=name)

    picked_label = graph.Cast(graph.Squeeze(graph.Gather(label, pick), [1]), to=TensorProto.INT32)
    answer(boxes, np.float32, [max_det, 4], "boxes")
    answer(graph.Squeeze(graph.Gather(score, pick), [1]), np.float32, [max_det], "scores")
    answer(picked_label, np.int32, [max_det], "classes")
    graph.Cast(graph.ReduceSum(of_image, [1], keepdims=0), to=TensorProto.INT32, name="count")
