"""The network against what is published about it: costs, names, shapes; and that it exports as one graph."""

import copy
import io
import json

import numpy as np
import onnxruntime
import pytest
import torch

from yolocore.errors import UsageError
from yolocore.model.blocks import Conv
from yolocore.model.flops import cost
from yolocore.model.fuse import fuse, fuse_activations
from yolocore.model.yolo11 import build


@pytest.fixture(scope="module")
def nano():
    """A yolo11n whose normalisation has seen data, so that folding it does something."""
    torch.manual_seed(0)
    model = build("n", 80).train()
    for _ in range(3):
        model(torch.rand(4, 3, 64, 64))
    return model.eval()


# The published weights of each task: classes, keypoints, and the side of the images that operations are counted for.
PUBLISHED = {
    "detect": (80, None, 640),
    "segment": (80, None, 640),
    "pose": (1, (17, 3), 640),
    "classify": (1000, None, 224),
    "obb": (15, None, 1024),
}


# Task, size; layers, parameters, 10⁹ operations; the same fused; entries of the state dict.
COSTS = [
    ("detect", "n", 181, 2_624_080, 6.67, 100, 2_616_248, 6.54, 499),
    ("detect", "s", 181, 9_458_752, 21.84, 100, 9_443_760, 21.59, 499),
    ("detect", "m", 231, 20_114_688, 68.64, 125, 20_091_712, 68.10, 649),
    ("detect", "l", 357, 25_372_160, 87.85, 190, 25_340_992, 87.16, 1015),
    ("detect", "x", 357, 56_966_176, 196.32, 190, 56_919_424, 195.27, 1015),
    ("segment", "n", 203, 2_876_848, 9.96, 113, 2_868_664, 9.80, 561),
    ("segment", "s", 203, 10_113_248, 33.36, 113, 10_097_776, 33.07, 561),
    ("segment", "m", 253, 22_420_896, 113.97, 138, 22_396_992, 113.35, 711),
    ("segment", "l", 379, 27_678_368, 133.18, 203, 27_646_272, 132.40, 1077),
    ("segment", "x", 379, 62_142_656, 297.89, 203, 62_094_528, 296.73, 1077),
    ("pose", "n", 196, 2_874_462, 7.60, 109, 2_866_468, 7.47, 541),
    ("pose", "s", 196, 9_918_238, 23.43, 109, 9_902_940, 23.17, 541),
    ("pose", "m", 246, 20_912_364, 72.05, 134, 20_889_004, 71.51, 691),
    ("pose", "l", 372, 26_169_836, 91.26, 199, 26_138_284, 90.56, 1057),
    ("pose", "x", 372, 58_798_636, 204.19, 199, 58_751_308, 203.14, 1057),
    ("classify", "n", 86, 2_812_104, 0.40, 47, 2_807_024, 0.39, 236),
    ("classify", "s", 86, 6_724_008, 1.49, 47, 6_715_128, 1.47, 236),
    ("classify", "m", 106, 11_634_216, 4.86, 57, 11_622_632, 4.81, 296),
    ("classify", "l", 176, 14_115_624, 6.10, 94, 14_099_432, 6.05, 494),
    ("classify", "x", 176, 29_637_064, 13.60, 94, 29_613_416, 13.52, 494),
    ("obb", "n", 196, 2_664_432, 17.56, 109, 2_656_648, 17.22, 541),
    ("obb", "s", 196, 9_719_776, 58.56, 109, 9_704_592, 57.91, 541),
    ("obb", "m", 246, 20_913_408, 184.96, 134, 20_890_048, 183.56, 691),
    ("obb", "l", 372, 26_170_880, 234.63, 199, 26_139_328, 232.83, 1057),
    ("obb", "x", 372, 58_800_256, 524.24, 199, 58_752_928, 521.53, 1057),
]


@pytest.mark.parametrize(
    ("task", "scale", "layers", "parameters", "gflops", "fused_layers", "fused_parameters", "fused_gflops", "entries"),
    [pytest.param(*row, id="-".join(row[:2]), marks=[pytest.mark.slow] if row[1] in "lx" else []) for row in COSTS],
)
def test_costs_what_is_published(
    task, scale, layers, parameters, gflops, fused_layers, fused_parameters, fused_gflops, entries
):
    classes, keypoints, imgsz = PUBLISHED[task]
    with torch.device("meta"):  # counting needs no numbers
        model = build(scale, classes, task, keypoints)
    plain, fused = cost(model, imgsz), cost(fuse(model), imgsz)
    assert (plain.layers, plain.parameters, round(plain.gflops, 2)) == (layers, parameters, gflops)
    assert (fused.layers, fused.parameters, round(fused.gflops, 2)) == (fused_layers, fused_parameters, fused_gflops)
    assert len(model.state_dict()) == entries


@pytest.mark.parametrize("task", PUBLISHED)
def test_state_dict_has_the_public_names_and_shapes(shared, task):
    expected = json.loads((shared / f"facts/state_dict_{task}_n.json").read_text())
    classes, keypoints, _ = PUBLISHED[task]
    state = build("n", classes, task, keypoints).state_dict()
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
@pytest.mark.parametrize(
    ("task", "keypoints", "extra"),
    [
        ("detect", None, 0),
        ("segment", None, 32),
        ("pose", (5, 3), 15),
        ("pose", (4, 2), 8),
        ("obb", None, 1),
    ],
)
def test_gives_raw_numbers_in_training_and_predictions_otherwise(task, keypoints, extra, size):
    height, width = size
    model = build("n", 3, task, keypoints)
    images = torch.rand(2, 3, height, width)
    with torch.no_grad():
        raw = model.train()(images)
        predictions, *others = model.eval()(images)
    prototypes = [(2, 32, height // 4, width // 4)] if task == "segment" else []
    levels = [(2, 64 + 3 + extra, height // s, width // s) for s in (8, 16, 32)]
    assert [tuple(m.shape) for m in raw] == levels + prototypes
    assert predictions.shape == (2, 4 + 3 + extra, sum(height * width // s**2 for s in (8, 16, 32)))
    assert [tuple(other.shape) for other in others] == prototypes
    assert predictions[:, 4:7].min() >= 0 and predictions[:, 4:7].max() <= 1
    assert (model.task, model.keypoints, model.scale, model.nc) == (task, keypoints, "n", 3)


def test_classifier_gives_logits_in_training_and_probabilities_otherwise():
    model = build("n", 3, "classify")
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        (probabilities,) = model.eval()(images)
        (logits,) = model.raw(images)
        (trained,) = model.train()(images)
    assert logits.shape == trained.shape == (2, 3)
    torch.testing.assert_close(probabilities, logits.softmax(1))


def test_dropout_of_a_classifier_can_be_set():
    model = build("n", 3, "classify").train()
    features = torch.rand(2, 256, 2, 2)
    torch.testing.assert_close(*(model.head.drop(features) for _ in range(2)))  # nothing is dropped unless one says so
    model.head.drop.p = 1.0
    torch.testing.assert_close(model.head(features)[0], model.head.linear.bias.expand(2, 3))


def test_each_task_decodes_what_it_adds():
    """A head whose branches say the same everywhere: what is added follows the scores, decoded."""
    model = build("n", 1, "pose", (1, 3)).eval()
    said = torch.tensor([0.5, -0.25, 0.0])
    with torch.no_grad():
        for branch in model.head.cv4:
            branch[-1].weight.zero_()
            branch[-1].bias.copy_(said)
        (predictions,) = model(torch.rand(1, 3, 32, 32))
    x, y, visibility = predictions[0, 5:, -1]  # the only cell of stride 32
    assert (x.item(), y.item(), visibility.item()) == (32.0, -16.0, 0.5)

    model = build("n", 1, "obb").eval()
    with torch.no_grad():
        for branch in model.head.cv4:
            branch[-1].weight.zero_()
            branch[-1].bias.zero_()
        (predictions,) = model(torch.rand(1, 3, 32, 32))
    torch.testing.assert_close(predictions[0, 5], torch.full((21,), torch.pi / 4))


def test_refuses_a_size_that_there_is_not():
    with pytest.raises(UsageError, match="scale='q': YOLO11 has the sizes n, s, m, l, x"):
        build("q", 80)


@pytest.mark.parametrize(("task", "keypoints"), [("pose", None), ("detect", (17, 3))])
def test_refuses_keypoints_that_do_not_belong_to_the_task(task, keypoints):
    with pytest.raises(UsageError, match=f"the task {task} takes"):
        build("n", 1, task, keypoints)


def test_fused_copy_computes_the_same_and_leaves_the_model_alone(nano):
    images = torch.rand(2, 3, 96, 128)
    names = list(nano.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(fuse(nano)(images)[0], nano(images)[0], rtol=1e-4, atol=1e-4)
    assert list(nano.state_dict()) == names


@pytest.mark.parametrize(
    ("task", "keypoints"), [("segment", None), ("pose", (17, 3)), ("classify", None), ("obb", None)]
)
def test_fused_copies_of_other_tasks_compute_the_same(task, keypoints):
    torch.manual_seed(0)
    model = build("n", 3, task, keypoints).train()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        model(images)
        for fused, plain in zip(fuse(model)(images), model.eval()(images), strict=True):
            torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", ["detect", "segment", "classify"])
def test_activations_in_one_pass_with_convolutions_compute_the_same(task):
    """And nothing is left of the two passes: what a CPU runs has no SiLU of its own."""
    torch.manual_seed(0)
    plain = fuse(build("n", 3, task))
    merged = fuse_activations(copy.deepcopy(plain))
    images = torch.rand(2, 3, 96, 64).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for found, expected in zip(merged(images), plain(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, Conv) and module.act is Conv.silu for module in merged.modules())


def test_a_pytorch_without_onednn_keeps_the_two_passes(monkeypatch):
    monkeypatch.setattr("yolocore.model.fuse._POINTWISE", None)
    model = fuse(build("n", 3))
    images = torch.rand(1, 3, 64, 64)
    expected = model(images)[0]
    assert torch.equal(fuse_activations(model)(images)[0], expected)


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
