"""Prediction as a step: what it publishes, when it does nothing, and what it refuses."""

import subprocess
import sys

import pytest

from tests.runtimes.bright import encoded, picture
from tests.serve.finder import INFO, write_network
from yolocore.config import PredictConfig
from yolocore.errors import DataError, ModelError, ServiceError, UsageError
from yolocore.modes.inputs import PredictInputs
from yolocore.modes.predict import predict
from yolocore.records import PredictRecord


@pytest.fixture
def finder(tmp_path):
    return write_network(tmp_path / "finder.onnx")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(3):
        content = encoded(picture((48, 64), (10, 10, 30, 30), green=index == 2))
        (folder / f"{index}.png").write_bytes(content)
    return folder


def run(model, source, out, **settings):
    return predict(PredictConfig(**settings), PredictInputs(model=str(model), source=str(source)), out)


def test_the_record_tells_what_was_found(finder, source, tmp_path):
    out = tmp_path / "out"
    record = run(finder, source, out)
    assert record.frames == 3 and record.objects == {"green": 1, "red": 2}
    assert record.metrics == {"frames": 3, "objects": 3}
    assert {"numpy", "onnxruntime"} <= set(record.versions)
    assert record.views == ("pictures/0.jpg", "pictures/1.jpg", "pictures/2.jpg")
    assert all((out / path).is_file() for path in record.views)
    assert set(record.artifacts) == {"predictions", "labels"}
    assert PredictRecord.load(out) == record


@pytest.mark.parametrize("pattern", ["", "*.png", "list.txt"], ids=["folder", "glob", "list"])
def test_the_same_again_does_nothing_and_another_picture_does(finder, source, tmp_path, pattern):
    (tmp_path / "in" / "list.txt").write_text("0.png\n1.png\n2.png\n")
    out = tmp_path / "out"
    first = run(finder, source / pattern, out)
    assert run(finder, source / pattern, out) == first
    (source / "1.png").write_bytes(encoded(picture((48, 64))))
    second = run(finder, source / pattern, out)
    assert second.key != first.key and second.metrics["objects"] == 2


def test_a_live_source_is_new_each_time(finder, camera, tmp_path):
    first, second = (run(finder, camera, tmp_path / "out", save_txt=False) for _ in range(2))
    assert first.key != second.key and second.frames > 0
    assert set(second.artifacts) == {"predictions"}


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_a_served_model_predicts_as_well(scheme, serving, source, tmp_path):
    port = serving.endpoint.port + (scheme == "triton+grpc")
    url = f"{scheme}://{serving.endpoint.host}:{port}/finder"
    record = run(url, source, tmp_path / "out", conf=INFO.conf, max_det=INFO.max_det)
    assert record.objects == {"green": 1, "red": 2}


REFUSALS = [
    pytest.param("finder.onnx", "absent.jpg", {}, DataError, "absent.jpg: no such file", id="no source"),
    pytest.param("finder.onnx", "broken", {}, DataError, r"1\.png: no image that can be", id="broken image among good"),
    pytest.param("absent.onnx", "in", {}, ModelError, "absent.onnx: no such file", id="no model"),
    pytest.param("in/0.png", "in", {}, ModelError, "unknown kind", id="a picture for a model"),
    pytest.param("finder.onnx", "in", {"half": True}, UsageError, "half=True: .*exported in", id="a graph's precision"),
    pytest.param("finder.onnx", "in", {"classes": (7,)}, UsageError, r"classes=7: .* 0\.\.1", id="unknown class"),
    pytest.param("finder.onnx", "http://127.0.0.1:1/a.jpg", {}, ServiceError, "cannot be fetched", id="no web server"),
    pytest.param(
        "finder.onnx", "in", {"task": "pose"}, ModelError, r"task=pose: .*finder\.onnx is for detect", id="another task"
    ),
    pytest.param("triton://127.0.0.1:1/finder", "in", {}, ServiceError, "127.0.0.1:1", id="no Triton"),
]


@pytest.mark.parametrize(("model", "where", "settings", "error", "reason"), REFUSALS)
def test_refusals_leave_nothing_behind(model, where, settings, error, reason, finder, source, tmp_path):
    (tmp_path / "broken").mkdir()
    for path in source.iterdir():
        (tmp_path / "broken" / path.name).write_bytes(path.read_bytes() if path.name != "1.png" else b"no picture")
    model, where = (text if "://" in text else str(tmp_path / text) for text in (model, where))
    with pytest.raises(error, match=reason) as caught:
        run(model, where, tmp_path / "runs" / "out", **settings)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.glob("runs/*") if not path.name.endswith(".lock")]


def test_an_exported_model_needs_no_torch(finder, source, tmp_path):
    code = (
        "import sys; from pathlib import Path; from yolocore.config import PredictConfig;"
        "from yolocore.modes.inputs import PredictInputs; from yolocore.modes.predict import predict;"
        "predict(PredictConfig(), PredictInputs(model=sys.argv[1], source=sys.argv[2]), Path(sys.argv[3]));"
        "assert not {'torch', 'mlflow', 'kfp', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(finder), str(source), str(tmp_path / "out")], check=True)
