"""Models on OpenVINO: what ONNX Runtime computes, shapes that are fixed are honoured, other folders are refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.export.networks import lively_network, meta_of
from tests.runtimes.networks import META, OTHER_NETWORKS, write_network
from yolocore.errors import ModelError, UsageError
from yolocore.export.onnx import network_model
from yolocore.export.openvino import save_openvino
from yolocore.meta import TASKS, ModelMeta, Task
from yolocore.runtimes.onnx import OnnxRuntime
from yolocore.runtimes.openvino import OpenVinoRuntime
from yolocore.store import tree_digest


def write(folder: Path, *, meta: str = META.model_dump_json(), **change) -> Path:
    """As `write_network`, in OpenVINO's form."""
    path = folder / "m.openvino"
    network = onnx.load(write_network(folder / "m.onnx", **change))
    save_openvino(network, ModelMeta.model_validate_json(meta), path)
    return path


@pytest.mark.parametrize("batch", ["b", 1, 2, 4], ids=["any batch", "one at a time", "pairs", "more than there are"])
@pytest.mark.parametrize("side", ["s", 64], ids=["any size", "fixed size"])
def test_forward(tmp_path, batch, side):
    runtime = OpenVinoRuntime(write(tmp_path, batch=batch, side=side), threads=1)
    assert runtime.meta == META
    assert runtime.shape == (None if side == "s" else (64, 64))
    pixels = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    (output,) = runtime.forward(pixels)
    assert output.shape == (3, 6, 1) and output.dtype == np.float32
    np.testing.assert_allclose(output[:, 5, 0], pixels.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_an_answer_outlives_the_next_request(tmp_path):
    """The engine answers with buffers that it uses again."""
    runtime = OpenVinoRuntime(write(tmp_path), threads=1)
    (first,) = runtime.forward(np.zeros((1, 3, 64, 64), np.float32))
    runtime.forward(np.ones((1, 3, 64, 64), np.float32))
    assert not first.any()


def test_signals_are_heard_when_engines_are_gone(tmp_path):
    """The library leaves the stack of a dead engine to the handlers of signals, where there are several of them."""
    script = """
import os, signal, sys
from pathlib import Path
from yolocore.runtimes.openvino import OpenVinoRuntime
first, second = (OpenVinoRuntime(Path(sys.argv[1]), threads=1) for _ in range(2))
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", script, write(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")


@pytest.mark.parametrize("task", TASKS)
def test_computes_what_onnx_runtime_does(tmp_path, task: Task):
    meta = meta_of(task)
    network = network_model(lively_network(task), meta, simplify=False)
    onnx.save(network, tmp_path / "m.onnx")
    save_openvino(network, meta, tmp_path / "m.openvino")
    ours = OpenVinoRuntime(tmp_path / "m.openvino")
    assert ours.meta == meta
    pixels = np.random.default_rng(0).random((2, 3, 96, 64), np.float32)
    for output, other in zip(ours.forward(pixels), OnnxRuntime(tmp_path / "m.onnx").forward(pixels), strict=True):
        np.testing.assert_allclose(output, other, atol=2e-3)


def test_the_same_network_is_the_same_folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert tree_digest(write(tmp_path / "a")) == tree_digest(write(tmp_path / "b"))


@pytest.mark.parametrize(("change", "message"), OTHER_NETWORKS)
def test_refuses_other_models(tmp_path, change, message):
    with pytest.raises(ModelError, match=message) as error:
        OpenVinoRuntime(write(tmp_path, **change))
    assert str(error.value).startswith(f"model={tmp_path / 'm.openvino'}: ")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        pytest.param("model.xml", b"", "cannot be loaded", id="no graph"),
        pytest.param("model.xml", b"garbage", "cannot be loaded", id="a graph that is none"),
        pytest.param("model.xml", 200, "cannot be loaded", id="half a graph"),
        pytest.param("model.bin", 3, "cannot be loaded", id="half the weights"),
        pytest.param("model.bin", None, "cannot be loaded", id="weights are missing"),
        pytest.param("model.xml", (b"yolocore", b"somebody"), "no YOLO exported here", id="another's model"),
        pytest.param("model.xml", (b"&quot;imgsz&quot;:64", b"&quot;imgsz&quot;:6"), "metadata", id="damaged metadata"),
    ],
)
def test_refuses_broken_folders(tmp_path, file, content, message):
    path = write(tmp_path) / file
    whole = path.read_bytes()
    if content is None:
        path.unlink()
    elif isinstance(content, tuple):
        assert content[0] in whole
        path.write_bytes(whole.replace(*content))
    else:
        path.write_bytes(whole[:content] if isinstance(content, int) else content)
    with pytest.raises(ModelError, match=message) as error:
        OpenVinoRuntime(path.parent)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", ["cuda:0", "tpu"])
def test_refuses_devices_that_are_not_there(tmp_path, device):
    with pytest.raises(UsageError, match=f"device={device}"):
        OpenVinoRuntime(write(tmp_path), device=device)
