"""Loose keys in, a typed request out: the same from text as from Python values, mistakes in one line."""

from pathlib import Path

import pytest

from yolocore.config import MODES, section_class
from yolocore.errors import ModelError, UsageError
from yolocore.modes.request import INPUTS, REQUEST_KEYS, read_keys, read_request
from yolocore.records import Artifact, TrackRecord, TrainRecord

NEEDED = {mode: {k: "x" for k, field in INPUTS[mode].model_fields.items() if field.is_required()} for mode in MODES}


def test_every_mode_has_inputs_and_no_key_means_two_things():
    assert tuple(INPUTS) == MODES
    for mode in MODES:
        keys = [*INPUTS[mode].model_fields, *section_class(mode).model_fields, *REQUEST_KEYS]
        assert len(keys) == len(set(keys)), mode


@pytest.mark.parametrize(
    ("mode", "key", "text", "value"),
    [
        pytest.param("train", "imgsz", "320", 320, id="integer"),
        pytest.param("train", "lr0", "1e-3", 0.001, id="float in scientific form"),
        pytest.param("train", "amp", "False", False, id="switch as Python writes it"),
        pytest.param("train", "amp", "true", True, id="switch as YAML writes it"),
        pytest.param("val", "imgsz", "None", None, id="nothing, as Python writes it"),
        pytest.param("val", "imgsz", "", None, id="nothing, as a form sends it"),
        pytest.param("predict", "classes", "0,2", (0, 2), id="list with commas"),
        pytest.param("predict", "classes", "[0, 2]", (0, 2), id="list in brackets"),
        pytest.param("predict", "classes", "3", (3,), id="list of one"),
        pytest.param("benchmark", "formats", "onnx", ("onnx",), id="list of one choice"),
        pytest.param("val", "split", "2024", "2024", id="text of digits stays text"),
        pytest.param("predict", "device", "none", "none", id="text stays text"),
    ],
)
def test_text_means_what_python_values_mean(mode, key, text, value):
    from_text = read_request(mode, {**NEEDED[mode], key: text})
    from_value = read_request(mode, {**NEEDED[mode], key: value})
    assert getattr(from_text.config, key) == value
    assert from_text == from_value


def test_paths_are_text_and_out_has_a_default():
    request = read_request("val", {"model": Path("a/best.pt"), "data": Path("d")})
    assert request.inputs.model == "a/best.pt"
    assert request.out == Path("runs/val")


@pytest.mark.parametrize(
    ("mode", "keys", "line"),
    [
        pytest.param("trian", {}, "unknown mode 'trian'; did you mean 'train'?", id="unknown mode"),
        pytest.param("train", {"dta": "x"}, "unknown key 'dta'; did you mean 'data'?", id="misspelt input"),
        pytest.param("train", {"data": "x", "epoch": 3}, "did you mean 'epochs'?", id="misspelt setting"),
        pytest.param("train", {"data": "x", "outt": 3}, "did you mean 'out'?", id="misspelt key of the request"),
        pytest.param("train", {}, "data= is missing: ingested dataset", id="missing input"),
        pytest.param("train", {"data": "x", "epochs": "many"}, "epochs='many'", id="text for a number"),
        pytest.param("train", {"data": "x", "lr0": "0"}, "lr0='0'", id="out of range"),
        pytest.param("predict", {"model": "m", "source": "s", "classes": "a,b"}, "classes.0='a'", id="text in a list"),
        pytest.param("train", {"data": "x", "classes": "-1"}, "classes.0='-1'", id="a class before the first"),
        pytest.param("train", {"data": "x", "pipeline": "it's"}, 'pipeline="it\'s": a name has', id="pipeline's name"),
        pytest.param("train", {"data": "x", "params": "none.yaml"}, "none.yaml: cannot be read", id="no such file"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_remedy(mode, keys, line):
    with pytest.raises(UsageError) as caught:
        read_request(mode, keys)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(["epochs"], "'epochs' is not of the form key=value", id="no equals sign"),
        pytest.param(["=3"], "'=3' is not of the form key=value", id="no key"),
        pytest.param(["epochs=1", "epochs=2"], "epochs= is given twice", id="twice"),
    ],
)
def test_a_word_of_another_form_is_refused(words, line):
    with pytest.raises(UsageError, match=line):
        read_keys(words)


def test_a_value_may_hold_an_equals_sign():
    assert read_keys(["source=rtsp://host/cam?id=3"]) == {"source": "rtsp://host/cam?id=3"}


def test_params_give_the_section_and_keys_override_it(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("train: {epochs: 7, imgsz: 320}\n")
    request = read_request("train", {"params": str(params), "data": "x", "imgsz": "64"})
    assert (request.config.epochs, request.config.imgsz) == (7, 64)


def test_steps_on_one_params_file_belong_to_one_pipeline(tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("train: {epochs: 7}\n")
    train = read_request("train", {"params": str(params), "data": "x"})
    val = read_request("val", {"params": str(params), "data": "x", "model": "m"})
    assert train.pipeline == val.pipeline != ""
    params.write_text("train: {epochs: 8}\n")
    assert read_request("train", {"params": str(params), "data": "x"}).pipeline != train.pipeline


@pytest.mark.parametrize(
    ("environment", "keys", "pipeline"),
    [
        pytest.param("", {}, "", id="a step on its own"),
        pytest.param("run-7", {}, "run-7", id="named by the orchestrator"),
        pytest.param("run-7", {"pipeline": "mine"}, "mine", id="named by the key"),
    ],
)
def test_a_pipeline_run_has_a_name(monkeypatch, environment, keys, pipeline):
    monkeypatch.setenv("YOLO_PIPELINE", environment)
    assert read_request("train", {"data": "x", **keys}).pipeline == pipeline


def test_the_same_command_has_the_same_identity():
    keys = {"data": "x", "epochs": 3}
    assert read_request("train", keys).identity() == read_request("train", {**keys, "workers": 0}).identity()
    assert read_request("train", keys).identity() != read_request("train", {**keys, "out": "elsewhere"}).identity()


def test_the_folder_of_a_step_stands_for_the_model_that_it_made(tmp_path):
    best = Artifact(path="best.pt", digest="sha256:0", bytes=1)
    common = {"key": "", "program": "", "config": {}, "inputs": {}, "views": (), "metrics": {}, "versions": {}}
    folders = {}
    for record in (
        TrainRecord(step="train", artifacts={"best": best}, timings={}, epochs=1, best_epoch=1, fitness=0, **common),
        TrackRecord(step="track", artifacts={}, timings={}, frames=1, tracks=0, **common),
    ):
        folders[record.step] = tmp_path / record.step
        folders[record.step].mkdir()
        (folders[record.step] / "record.json").write_text(record.to_json())

    request = read_request("val", {"model": folders["train"], "data": "x"})
    assert request.inputs.model == str(folders["train"] / "best.pt")
    with pytest.raises(ModelError, match="is the folder of a track step, which makes no model"):
        read_request("val", {"model": folders["track"], "data": "x"})
