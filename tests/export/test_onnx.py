"""The exported network against the one in PyTorch."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.export.networks import META, lively_network, meta_of
from yolocore.export.onnx import network_model
from yolocore.meta import TASKS, ModelMeta
from yolocore.model.yolo11 import YOLO11
from yolocore.runtimes.onnx import OnnxRuntime


@pytest.fixture(scope="module")
def checkpoint() -> YOLO11:
    return lively_network()


@pytest.fixture(scope="module")
def dynamic(checkpoint: YOLO11) -> onnx.ModelProto:
    return network_model(checkpoint, META)


@pytest.fixture(scope="module")
def fixed(checkpoint: YOLO11) -> onnx.ModelProto:
    return network_model(checkpoint, META, dynamic=False)


def assert_answers_like(model: onnx.ModelProto, checkpoint: YOLO11, shape: tuple[int, int, int]) -> None:
    batch, height, width = shape
    images = np.random.default_rng(0).random((batch, 3, height, width), np.float32)
    with torch.inference_mode():
        wanted = [output.numpy() for output in checkpoint(torch.from_numpy(images))]
    run = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = run.run(None, {"images": images})
    assert [output.shape for output in found] == [output.shape for output in wanted]
    for output, other in zip(found, wanted, strict=True):
        assert output.dtype == np.float32
        # Pixels, of boxes up to 600 wide, among numbers that are small.
        np.testing.assert_allclose(output, other, atol=2e-2 if checkpoint.task != "classify" else 1e-4)
    if checkpoint.task != "classify":
        scores = slice(4, 4 + checkpoint.nc)
        np.testing.assert_allclose(found[0][:, scores], wanted[0][:, scores], atol=1e-4)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 64, 64), id="one image"),
        pytest.param((3, 64, 64), id="a batch"),
        pytest.param((1, 96, 32), id="a rectangle, and smaller than any training image"),
        pytest.param((2, 160, 224), id="larger than it was traced at"),
    ],
)
def test_a_dynamic_network_takes_any_shape(dynamic: onnx.ModelProto, checkpoint: YOLO11, shape) -> None:
    assert_answers_like(dynamic, checkpoint, shape)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "detect"])
def test_every_task_becomes_a_network(task, tmp_path) -> None:
    checkpoint, meta = lively_network(task), meta_of(task)
    model = network_model(checkpoint, meta)
    assert_answers_like(model, checkpoint, (2, 96, 64))
    onnx.save(model, tmp_path / "model.onnx")
    assert OnnxRuntime(tmp_path / "model.onnx", device="cpu", threads=1).meta == meta


def test_a_fixed_network_takes_one_image_of_its_size(fixed: onnx.ModelProto, checkpoint: YOLO11) -> None:
    assert_answers_like(fixed, checkpoint, (1, META.imgsz, META.imgsz))
    sides = [dim.dim_value for dim in fixed.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [1, 3, META.imgsz, META.imgsz]


@pytest.mark.parametrize("opset", [18, 19])
def test_older_operator_sets(checkpoint: YOLO11, opset: int) -> None:
    model = network_model(checkpoint, META, simplify=False, opset=opset)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    assert_answers_like(model, checkpoint, (2, 64, 96))


def test_equal_weights_give_equal_bytes(dynamic: onnx.ModelProto) -> None:
    assert network_model(lively_network(), META).SerializeToString() == dynamic.SerializeToString()


def test_simplifying_leaves_fewer_nodes(checkpoint: YOLO11, fixed: onnx.ModelProto) -> None:
    assert len(fixed.graph.node) < len(network_model(checkpoint, META, dynamic=False, simplify=False).graph.node)


def test_normalisation_is_fused(dynamic: onnx.ModelProto) -> None:
    assert "BatchNormalization" not in {node.op_type for node in dynamic.graph.node}


def test_the_file_says_what_it_is(dynamic: onnx.ModelProto, tmp_path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(dynamic, path)
    runtime = OnnxRuntime(path, device="cpu", threads=1)
    assert runtime.meta == META
    assert runtime.shape is None


def test_tracing_leaves_no_shapes_and_places_behind(dynamic: onnx.ModelProto) -> None:
    assert not dynamic.graph.value_info
    assert not any(node.doc_string for node in dynamic.graph.node)
    assert b".py" not in dynamic.SerializeToString()


def test_the_checkpoint_stays_as_it_was(checkpoint: YOLO11) -> None:
    before = {key: value.clone() for key, value in checkpoint.state_dict().items()}
    network_model(checkpoint, ModelMeta(names=META.names, imgsz=32), dynamic=False, simplify=False)
    assert checkpoint.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in checkpoint.state_dict().items())
