"""Validation as a step: what it publishes, when it does nothing, and what it refuses."""

import json

import pytest

from tests.listeners import Notes
from tests.serve.finder import INFO, META, write_dataset, write_network
from yolocore.config import ValConfig
from yolocore.errors import DataError, ModelError, ServiceError, UsageError
from yolocore.modes.inputs import ValInputs
from yolocore.modes.val import val
from yolocore.records import ValRecord


@pytest.fixture
def finder(tmp_path):
    return write_network(tmp_path / "finder.onnx")


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data")


def run(model, data, out, **settings):
    return val(ValConfig(**settings), ValInputs(model=str(model), data=str(data)), out)


def test_the_record_tells_how_good_the_model_is(finder, data, tmp_path):
    out = tmp_path / "out"
    record = run(finder, data, out)
    assert record.metrics["map50"] == pytest.approx(1) and record.metrics["map50_95"] > 0.9
    assert record.metrics["images"] == record.metrics["objects"] == 10
    assert set(record.per_class) == set(META.names)
    assert record.per_class["red"]["objects"] == 5
    assert {"images_per_second", "inference_ms", "seconds"} <= set(record.timings)
    assert {path.name for path in out.iterdir()} == {"record.json", "predictions.json", *record.views}
    assert ValRecord.load(out) == record
    rows = json.loads((out / "predictions.json").read_text())
    assert {row["image_id"] for row in rows} == set(range(10))
    assert {row["category_id"] for row in rows} == {1, 2}


def test_the_same_again_does_nothing_and_another_setting_does(finder, data, tmp_path):
    first = run(finder, data, tmp_path / "out")
    assert run(finder, data, tmp_path / "out") == first
    assert run(finder, data, tmp_path / "out", conf=0.5).key != first.key


def test_any_place_gives_the_same_bytes(finder, data, tmp_path):
    one = run(finder, data, tmp_path / "one")
    other = run(finder, data, tmp_path / "other")
    assert one.canonical() == other.canonical()
    for name in one.views:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_served_model_is_measured_by_the_same_loop(serving, data, tmp_path):
    url = f"triton://{serving.endpoint.host}:{serving.endpoint.port}/finder"
    record = run(url, data, tmp_path / "out", conf=INFO.conf, max_det=INFO.max_det)
    assert record.metrics["map50"] == pytest.approx(1)


def test_only_some_classes(finder, data, tmp_path):
    record = run(finder, data, tmp_path / "out", classes=(1,))
    assert record.per_class.keys() == {"green"}
    assert (record.metrics["images"], record.metrics["objects"]) == (10, 5)
    assert record.metrics["map50"] == pytest.approx(1), "what it finds of others is no mistake"


REFUSALS = [
    pytest.param("finder.onnx", "absent.yaml", {}, DataError, "absent.yaml", id="no dataset"),
    pytest.param(
        "finder.onnx", "data", {"split": "test"}, DataError, "no split 'test'; it has train, val", id="no split"
    ),
    pytest.param("finder.onnx", "three", {}, DataError, "has 3 classes, the model 2", id="another dataset's classes"),
    pytest.param("finder.onnx", "torn", {}, DataError, r"4\.png: ", id="truncated image"),
    pytest.param("absent.pt", "data", {}, ModelError, "absent.pt: no such file", id="no model"),
    pytest.param("finder.onnx", "data", {"device": "cuda:7"}, UsageError, "device=cuda:7", id="no such device"),
    pytest.param(
        "finder.onnx", "data", {"half": True}, UsageError, "half=True: .*exported in", id="a graph's precision"
    ),
    pytest.param(
        "finder.onnx",
        "data",
        {"task": "pose"},
        ModelError,
        r"task=pose: .*finder\.onnx is for detect",
        id="another task",
    ),
    pytest.param("finder.onnx", "data", {"classes": (2,)}, UsageError, "classes=2: the dataset has 2", id="no class"),
    pytest.param("triton://127.0.0.1:1/finder", "data", {}, ServiceError, "127.0.0.1:1", id="no server"),
]


@pytest.mark.parametrize(("model", "where", "settings", "error", "reason"), REFUSALS)
def test_refusals_leave_nothing_behind(model, where, settings, error, reason, finder, data, tmp_path):
    three = write_dataset(tmp_path / "three")
    three.write_text(three.read_text() + "  2: blue\n")
    write_dataset(tmp_path / "torn")
    image = tmp_path / "torn" / "images" / "val" / "4.png"
    image.write_bytes(image.read_bytes()[:-20])
    model, where = (text if "://" in text else str(tmp_path / text) for text in (model, where))
    with pytest.raises(error, match=reason) as caught:
        run(model, where, tmp_path / "runs" / "out", **settings)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.glob("runs/*") if not path.name.endswith(".lock")]


def test_other_names_for_the_same_classes_are_noted(finder, data, tmp_path):
    notes = Notes()
    data.write_text(data.read_text().replace("green", "lime"))
    val(ValConfig(), ValInputs(model=str(finder), data=str(data)), tmp_path / "out", notes)
    assert notes.texts == ["1 classes have other names in the dataset, the first: 'green' is 'lime'"]
