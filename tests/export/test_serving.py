"""The in-graph letterbox and suppression against their numpy forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.serve import finder
from yolocore.detections import Detections
from yolocore.export.serving import serving_model
from yolocore.letterbox import Letterbox
from yolocore.meta import ModelMeta
from yolocore.nms import non_max_suppression

IMGSZ = 64
CONF, IOU, MAX_DET = 0.25, 0.7, 20


def oracle(table: np.ndarray) -> onnx.ModelProto:
    """A 'network' that answers table[k mod T] to an image whose middle pixel is the grey level k.

    table: (T, 4 + nc, N) float32.
    """
    nodes = [
        helper.make_node("Slice", ["images", "from", "to", "axes"], ["pixel"]),
        helper.make_node("Mul", ["pixel", "levels"], ["level"]),
        helper.make_node("Round", ["level"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["index"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["index", "flat"], ["all"]),
        helper.make_node("Mod", ["all", "table_count"], ["which"]),
        helper.make_node("Gather", ["table", "which"], ["prediction"], axis=0),
    ]
    middle = IMGSZ // 2
    constants = {
        "from": np.array([0, middle, middle]),
        "to": np.array([1, middle + 1, middle + 1]),
        "axes": np.array([1, 2, 3]),
        "levels": np.float32(255),
        "flat": np.array([-1]),
        "table_count": np.array(len(table)),
        "table": table,
    }
    graph = helper.make_graph(
        nodes,
        "oracle",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, IMGSZ, IMGSZ])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["batch", *table.shape[1:]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def session(table: np.ndarray, canvas: bool = False, **settings: float) -> onnxruntime.InferenceSession:
    """The served form of `oracle(table)`. canvas: also give out what the network sees."""
    meta = ModelMeta(names=tuple(f"class {i}" for i in range(table.shape[1] - 4)), imgsz=IMGSZ)
    model = serving_model(oracle(table), meta, **({"conf": CONF, "iou": IOU, "max_det": MAX_DET} | settings))
    if canvas:
        model.graph.output.append(helper.make_tensor_value_info("images", TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(run: onnxruntime.InferenceSession, images: np.ndarray) -> list[Detections]:
    """Detections of each image, after checking that the rows beyond its count are zero."""
    boxes, scores, classes, counts = run.run(["boxes", "scores", "classes", "count"], {"image": images})
    assert counts.shape == (len(images),)
    for i, count in enumerate(counts):
        assert not boxes[i, count:].any() and not scores[i, count:].any() and not classes[i, count:].any()
    return [Detections(boxes[i, :n], scores[i, :n], classes[i, :n].astype(np.int64)) for i, n in enumerate(counts)]


def random_prediction(rng: np.random.Generator, classes: int, anchors: int, confident: int) -> np.ndarray:
    """(4 + classes, anchors): clustered boxes, so that suppression has something to do."""
    prediction = rng.random((4 + classes, anchors), np.float32)
    prediction[4:] *= CONF * 0.9
    corners = rng.random((2, 8), np.float32) * IMGSZ
    prediction[:2] = corners[:, rng.integers(8, size=anchors)] + rng.normal(0, 2, (2, anchors))
    prediction[2:4] = 8 + prediction[2:4] * 24
    chosen = rng.choice(anchors, confident, replace=False)
    prediction[4 + rng.integers(classes, size=confident), chosen] = rng.uniform(CONF * 1.01, 1, confident)
    return prediction


def grey(level: int, height: int = IMGSZ, width: int = IMGSZ) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def expected(prediction: np.ndarray, shape: tuple[int, int], **settings: float) -> Detections:
    settings = {"nc": len(prediction) - 4, "conf": CONF, "iou": IOU, "max_det": MAX_DET} | settings
    found, _ = non_max_suppression(prediction, **settings)
    return Detections(Letterbox.fit(shape, (IMGSZ, IMGSZ)).restore(found.boxes), found.scores, found.classes)


def assert_same(actual: Detections, wanted: Detections) -> None:
    np.testing.assert_array_equal(actual.classes, wanted.classes)
    np.testing.assert_array_equal(actual.scores, wanted.scores)
    np.testing.assert_allclose(actual.boxes, wanted.boxes, atol=1e-3)


# --- letterbox


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(64, 64, id="already the canvas"),
        pytest.param(48, 64, id="landscape, border only"),
        pytest.param(64, 43, id="portrait, odd border"),
        pytest.param(480, 640, id="landscape, made smaller"),
        pytest.param(640, 427, id="portrait, made smaller"),
        pytest.param(128, 96, id="exact half, where all values are ties"),
        pytest.param(30, 17, id="made larger"),
        pytest.param(333, 1000, id="panorama"),
        pytest.param(1, 500, id="one pixel high"),
        pytest.param(500, 1, id="one pixel wide"),
        pytest.param(1, 1, id="one pixel"),
        pytest.param(127, 128, id="size that ends in a half rounds to even"),
    ],
)
def test_letterbox_is_the_numpy_one(height: int, width: int) -> None:
    rng = np.random.default_rng(height * 1000 + width)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    run = session(np.zeros((1, 5, 1), np.float32), canvas=True)
    (canvas,) = run.run(["images"], {"image": image[None]})
    wanted = Letterbox.fit((height, width), (IMGSZ, IMGSZ)).apply(image)
    levels = canvas[0].transpose(1, 2, 0) * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4, err_msg="the network sees whole grey levels")
    difference = np.abs(np.rint(levels) - wanted.astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 0.02  # OpenCV's weights of columns are multiples of 1/2048; ours are exact


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 700), width=st.integers(1, 700))
def test_boxes_return_to_the_source_as_numpy_takes_them(height: int, width: int) -> None:
    """Same gain, same border, same clipping: for any shape of the source."""
    rng = np.random.default_rng(height * 1000 + width)
    prediction = random_prediction(rng, classes=1, anchors=12, confident=12)
    (found,) = answers(session(prediction[None], iou=1.0), np.zeros((1, height, width, 3), np.uint8))
    assert_same(found, expected(prediction, (height, width), iou=1.0))


# --- suppression


@pytest.mark.parametrize(
    ("classes", "anchors", "confident", "settings_"),
    [
        pytest.param(1, 50, 30, {}, id="one class"),
        pytest.param(3, 200, 120, {}, id="several classes overlap without touching each other"),
        pytest.param(80, 400, 200, {"max_det": 300}, id="as many classes as COCO"),
        pytest.param(3, 200, 200, {"max_det": 7}, id="more objects than rows"),
        pytest.param(3, 200, 150, {"max_det": 1}, id="one row"),
        pytest.param(5, 300, 40, {"conf": 0.0, "max_det": 300}, id="everything is a candidate"),
        pytest.param(3, 200, 150, {"iou": 0.3}, id="strict suppression"),
        pytest.param(3, 40, 0, {}, id="nothing found"),
    ],
)
def test_suppression_is_the_numpy_one(classes: int, anchors: int, confident: int, settings_: dict[str, float]) -> None:
    rng = np.random.default_rng(classes * anchors + confident)
    table = np.stack([random_prediction(rng, classes, anchors, confident) for _ in range(4)])
    run = session(table, **settings_)
    for level, prediction in enumerate(table):
        (found,) = answers(run, grey(level)[None])
        assert_same(found, expected(prediction, (IMGSZ, IMGSZ), **settings_))


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        pytest.param([0.25, 0.9], [1], id="a score must exceed conf, not reach it"),
        pytest.param([0.8, 0.8], [0, 1], id="equal scores stay in the order of their anchors"),
    ],
)
def test_limits(scores: list[float], kept: list[int]) -> None:
    prediction = np.array([[16, 48], [16, 48], [8, 8], [8, 8], scores], np.float32)
    (found,) = answers(session(prediction[None]), grey(0)[None])
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres, prediction[:2, kept].T)


def test_images_of_a_batch_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(0)
    table = np.stack([random_prediction(rng, 3, 100, confident) for confident in (60, 0, 1, 100)])
    run = session(table)
    batch = np.stack([grey(level, 50, 90) for level in (3, 1, 0, 0, 2)])
    for found, image in zip(answers(run, batch), batch, strict=True):
        (alone,) = answers(run, image[None])
        assert_same(found, alone)


def test_signature_is_what_servers_are_told() -> None:
    run = session(np.zeros((1, 7, 2), np.float32))
    assert [(i.name, i.type, i.shape) for i in run.get_inputs()] == [
        ("image", "tensor(uint8)", ["batch", "height", "width", 3])
    ]
    assert [(o.name, o.type, o.shape) for o in run.get_outputs()] == [
        ("boxes", "tensor(float)", ["batch", MAX_DET, 4]),
        ("scores", "tensor(float)", ["batch", MAX_DET]),
        ("classes", "tensor(int32)", ["batch", MAX_DET]),
        ("count", "tensor(int32)", ["batch"]),
    ]


def test_images_are_rgb(tmp_path: Path) -> None:
    """Around a network that tells red from green, and where in the image they are."""
    network = onnx.load(finder.write_network(tmp_path / "finder.onnx"))
    model = serving_model(network, finder.META, conf=CONF, iou=IOU, max_det=MAX_DET)
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    images = np.zeros((2, 32, 64, 3), np.uint8)
    images[0, 8:20, 10:30, 0] = 255
    images[1, 5:25, 40:60, 1] = 255
    red, green = answers(run, images)
    np.testing.assert_allclose(red.boxes, [[10, 8, 30, 20]], atol=1e-3)
    np.testing.assert_allclose(green.boxes, [[40, 5, 60, 25]], atol=1e-3)
    assert (red.classes.tolist(), green.classes.tolist()) == ([0], [1])
