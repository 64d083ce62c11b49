"""Models on ONNX Runtime: shapes they fix are honoured, files that are no YOLO are refused in one line."""

import numpy as np
import pytest

from tests.runtimes.networks import META, OTHER_NETWORKS, write_network
from yolocore.errors import ModelError, UsageError
from yolocore.runtimes.onnx import OnnxRuntime


@pytest.mark.parametrize("batch", ["b", 1, 2, 4], ids=["any batch", "one at a time", "pairs", "more than there are"])
@pytest.mark.parametrize("side", ["s", 64], ids=["any size", "fixed size"])
def test_forward(tmp_path, batch, side):
    runtime = OnnxRuntime(write_network(tmp_path / "m.onnx", batch=batch, side=side), threads=1)
    assert runtime.meta == META
    assert runtime.shape == (None if side == "s" else (64, 64))
    pixels = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    (output,) = runtime.forward(pixels)
    assert output.shape == (3, 6, 1) and output.dtype == np.float32
    np.testing.assert_allclose(output[:, 5, 0], pixels.mean(axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"meta": None}, "no YOLO exported here", id="another kind of ONNX model"),
        pytest.param({"meta": "{}"}, "metadata cannot be read", id="incomplete metadata"),
        pytest.param({"meta": "oops"}, "metadata cannot be read", id="metadata that is no JSON"),
        *OTHER_NETWORKS,
    ],
)
def test_refuses_other_models(tmp_path, change, message):
    with pytest.raises(ModelError, match=message) as error:
        OnnxRuntime(write_network(tmp_path / "m.onnx", **change))
    assert str(error.value).startswith(f"model={tmp_path / 'm.onnx'}: ")


@pytest.mark.parametrize("content", [b"", b"not protobuf", b"half"], ids=["empty", "garbage", "truncated"])
def test_refuses_broken_files(tmp_path, content):
    path = write_network(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:200] if content == b"half" else content)
    with pytest.raises(ModelError, match=r"cannot be loaded|no YOLO") as error:
        OnnxRuntime(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", ["cuda:0", "tpu"])
def test_refuses_devices_that_are_not_there(tmp_path, device):
    path = write_network(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match=f"device={device}"):
        OnnxRuntime(path, device=device)
