"""The network against what is published about it: costs, names, shapes; and that it exports as one graph."""

import io
import json

import numpy as np
import onnxruntime
import pytest
import torch

from yolocore.errors import UsageError
from yolocore.model.flops import cost
from yolocore.model.fuse import fuse
from yolocore.model.yolo11 import build


@pytest.fixture(scope="module")
def nano():
    """A yolo11n whose normalisation has seen data, so that folding it does something."""
    torch.manual_seed(0)
    model = build("n", 80).train()
    for _ in range(3):
        model(torch.rand(4, 3, 64, 64))
    return model.eval()


@pytest.mark.parametrize(
    ("scale", "layers", "parameters", "gflops", "fused_layers", "fused_parameters", "fused_gflops", "entries"),
    [
        ("n", 181, 2_624_080, 6.67, 100, 2_616_248, 6.54, 499),
        ("s", 181, 9_458_752, 21.84, 100, 9_443_760, 21.59, 499),
        ("m", 231, 20_114_688, 68.64, 125, 20_091_712, 68.10, 649),
        ("l", 357, 25_372_160, 87.85, 190, 25_340_992, 87.16, 1015),
        ("x", 357, 56_966_176, 196.32, 190, 56_919_424, 195.27, 1015),
    ],
)
def test_costs_what_is_published(
    scale, layers, parameters, gflops, fused_layers, fused_parameters, fused_gflops, entries
):
    model = build(scale, 80)
    plain, fused = cost(model), cost(fuse(model))
    assert (plain.layers, plain.parameters, round(plain.gflops, 2)) == (layers, parameters, gflops)
    assert (fused.layers, fused.parameters, round(fused.gflops, 2)) == (fused_layers, fused_parameters, fused_gflops)
    assert len(model.state_dict()) == entries


def test_state_dict_has_the_public_names_and_shapes(shared):
    expected = json.loads((shared / "facts/state_dict_detect_n.json").read_text())
    state = build("n", 80).state_dict()
    found = {k: {"shape": list(v.shape), "dtype": str(v.dtype).removeprefix("torch.")} for k, v in state.items()}
    assert found == expected
    assert list(found) == list(expected)


def test_normalisation_and_priors():
    model = build("n", 3)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.03)}
    assert not model.head.dfl.conv.weight.requires_grad
    # 5 objects in a 640x640 image, shared among the classes and the cells of a level.
    for branch, cells in zip(model.head.cv3, (80 * 80, 40 * 40, 20 * 20), strict=True):
        np.testing.assert_allclose(branch[-1].bias.detach().exp(), 5 / 3 / cells, rtol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (160, 128)])
def test_gives_raw_maps_in_training_and_predictions_otherwise(nano, size):
    height, width = size
    images = torch.rand(2, 3, height, width)
    with torch.no_grad():
        (predictions,) = nano(images)
        maps = nano.train()(images)
    nano.eval()
    assert [tuple(m.shape) for m in maps] == [(2, 144, height // s, width // s) for s in (8, 16, 32)]
    assert predictions.shape == (2, 84, sum(height * width // s**2 for s in (8, 16, 32)))
    assert predictions[:, 4:].min() >= 0 and predictions[:, 4:].max() <= 1


def test_refuses_a_size_that_there_is_not():
    with pytest.raises(UsageError, match="scale='q': YOLO11 has the sizes n, s, m, l, x"):
        build("q", 80)


def test_fused_copy_computes_the_same_and_leaves_the_model_alone(nano):
    images = torch.rand(2, 3, 96, 128)
    names = list(nano.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(fuse(nano)(images)[0], nano(images)[0], rtol=1e-4, atol=1e-4)
    assert list(nano.state_dict()) == names


def test_memory_layout_changes_nothing(nano):
    images = torch.rand(2, 3, 96, 128)
    planes, interleaved = fuse(nano), fuse(nano).to(memory_format=torch.channels_last)
    torch.testing.assert_close(interleaved(images)[0], planes(images)[0], rtol=1e-4, atol=1e-4)


def test_predictions_made_for_inference_do_not_stand_in_the_way_of_gradients(nano):
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        nano(images)
    images.requires_grad_()
    nano(images)[0].sum().backward()
    assert images.grad is not None


@pytest.fixture(scope="module")
def exported(nano):
    """An ONNX session of a graph that was traced at another shape than it is used at."""
    buffer = io.BytesIO()
    axes = {"images": {0: "batch", 2: "height", 3: "width"}, "predictions": {0: "batch", 2: "anchors"}}
    torch.onnx.export(
        fuse(nano),
        (torch.zeros(1, 3, 64, 96),),
        buffer,
        dynamo=False,
        opset_version=20,
        input_names=["images"],
        output_names=["predictions"],
        dynamic_axes=axes,
    )
    return onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("shape", [(1, 320, 320), (1, 256, 416), (3, 64, 32)], ids=["square", "wide", "batch, tall"])
def test_exports_with_dynamic_shapes(nano, exported, shape):
    batch, height, width = shape
    images = torch.rand(batch, 3, height, width)
    (found,) = exported.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(found, nano(images)[0], rtol=1e-4, atol=1e-4)
