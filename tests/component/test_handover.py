"""Handing over: what leaves a step's folder comes back whole, once for each digest, or a line says why not."""

import re
from pathlib import Path

import pytest

from tests.serve.finder import write_export
from yolocore.component.handover import STORED, brought_here, hand_over, sent
from yolocore.errors import DataError, StorageError, UsageError
from yolocore.modes.inputs import DeployInputs, PredictInputs, TrainInputs
from yolocore.progress import SILENT, Silent
from yolocore.records import FILE_NAME, Artifact, ExportRecord
from yolocore.store import ObjectStore, tree_digest


@pytest.fixture
def handed(tmp_path, monkeypatch):
    """A local store, and an export step's folder that was handed over to it."""
    store, folder = ObjectStore(str(tmp_path / "store")), write_export(tmp_path / "export")
    (folder / "labels").mkdir()
    for name in ("labels/a.txt", "picture.png"):
        (folder / name).write_text(name)
    paths = {"model": "model.onnx", "serving": "serving.onnx", "labels": "labels"}
    artifacts = {name: Artifact(path=path, digest=tree_digest(folder / path), bytes=1) for name, path in paths.items()}
    record = ExportRecord.load(folder).model_copy(update={"artifacts": artifacts, "views": ("picture.png",)})
    (folder / FILE_NAME).write_text(record.to_json())
    stored = hand_over(store, folder, record, SILENT)
    assert {path.name for path in folder.iterdir()} == {FILE_NAME, STORED, "picture.png"}
    return store, folder, stored


def test_the_folder_and_what_lies_in_it_come_back_together(handed, cache):
    store, folder, stored = handed
    data = f"{folder}/labels/a.txt"
    inputs = brought_here(store, DeployInputs(exported=str(folder), data=data), SILENT)
    assert inputs.exported == str(cache / stored.digest.removeprefix("sha256:"))
    assert tree_digest(cache / stored.digest.removeprefix("sha256:")) == stored.digest
    assert inputs.data == f"{inputs.exported}/labels/a.txt"
    assert inputs.repository == "serving", "what is no path to a handed-over folder stays as it is"


def test_a_folder_that_stands_for_its_model(handed, cache):
    store, folder, stored = handed
    inputs = brought_here(store, PredictInputs(model=str(folder), source=f"{folder}/picture.png"), SILENT)
    assert inputs.model == str(cache / stored.digest.removeprefix("sha256:") / "model.onnx")
    assert inputs.source == f"{folder}/picture.png", "pictures have stayed in the folder"


def test_it_is_fetched_once_for_each_digest(handed):
    class Fetched(Silent):
        files = 0

        def start(self, label, total):
            self.files += total

    store, folder, _ = handed
    heard = Fetched()
    for _ in range(3):
        brought_here(store, DeployInputs(exported=str(folder), data=str(folder)), heard)
    assert heard.files == 4  # two models, a label, the record


@pytest.mark.parametrize("value", ["demo", "yolo11n", "s3://a/b", "triton://host:1/m", "", "0", "a" * 5000, "/" * 3])
def test_other_inputs_stay_as_they_are(tmp_path, value):
    inputs = DeployInputs(exported=value, data="d")
    assert brought_here(ObjectStore(str(tmp_path / "store")), inputs, SILENT) == inputs


def test_a_step_that_makes_nothing_hands_nothing_over(tmp_path):
    folder = write_export(tmp_path / "export")
    before = tree_digest(folder)
    assert hand_over(ObjectStore(str(tmp_path / "store")), folder, ExportRecord.load(folder), SILENT) is None
    assert tree_digest(folder) == before and not (tmp_path / "store").exists()


def test_without_a_store_there_is_nothing_to_fetch_from(handed):
    store, folder, stored = handed
    with pytest.raises(UsageError, match=f"{folder}: its files lie in {store.uri(stored.digest)}; set YOLO_STORE"):
        brought_here(None, DeployInputs(exported=str(folder), data="d"), SILENT)


@pytest.mark.parametrize("text", ["", "{}", '{"digest": 1}'])
def test_a_damaged_note(handed, text):
    store, folder, _ = handed
    (folder / STORED).write_text(text)
    with pytest.raises(DataError, match=r"stored\.json: is damaged .*; run the step again"):
        brought_here(store, DeployInputs(exported=str(folder), data="d"), SILENT)


def test_a_cache_that_cannot_be_written(handed, monkeypatch):
    store, folder, _ = handed
    monkeypatch.setenv("YOLO_CACHE", "/sys/nothing")
    with pytest.raises(StorageError, match=r"/sys/nothing: .* or choose another YOLO_CACHE=/sys/nothing"):
        brought_here(store, DeployInputs(exported=str(folder), data="d"), SILENT)


@pytest.mark.parametrize(
    ("value", "name", "reason"),
    [
        ("export", "{digest}", "a step's folder is named by what it has handed over"),
        ("export/labels", "{digest}/labels", "and what lies in it by its place there"),
        ("export/labels/a.txt", "{digest}/labels/a.txt", "however deep"),
        ("export/picture.png", "sha256:[0-9a-f]{{64}}/picture.png", "what has stayed is stored now"),
        ("mine.pt", "sha256:[0-9a-f]{{64}}/mine.pt", "and what no step has made"),
        ("folder", "sha256:[0-9a-f]{{64}}", "be it a folder"),
        ("yolo11n", "yolo11n", "an architecture, whatever bears its name here"),
        ("nowhere", "nowhere", "that it is not there, the mode will say"),
        ("", "", "nothing"),
    ],
)
def test_what_is_sent_arrives_on_another_machine(handed, tmp_path, monkeypatch, value, name, reason):
    store, _, stored = handed
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pt").write_text("weights")
    for folder in ("folder", "yolo11n"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("a")
    inputs = sent(store, TrainInputs(data=value), SILENT)
    assert re.fullmatch(name.format(digest=stored.digest), inputs.data), reason
    arrived = brought_here(store, inputs, SILENT).data
    if inputs.data == value:
        assert arrived == value
    elif Path(value).exists() and value != "export":
        assert arrived != value and tree_digest(Path(arrived)) == tree_digest(Path(value))
    else:
        assert Path(arrived).exists()


def test_a_model_is_sent_by_the_folder_that_stands_for_it(handed):
    store, folder, stored = handed
    inputs = sent(store, TrainInputs(data="d", model=str(folder)), SILENT)
    assert inputs.model == f"{stored.digest}/model.onnx"
    assert Path(brought_here(store, inputs, SILENT).model).is_file()


def test_a_name_needs_the_store_that_has_it(handed, tmp_path):
    _, _, stored = handed
    inputs = TrainInputs(data=stored.digest)
    with pytest.raises(UsageError, match=f"{stored.digest}: names what lies in an object store; set YOLO_STORE"):
        brought_here(None, inputs, SILENT)
    with pytest.raises(DataError, match=f"has no object {stored.digest}"):
        brought_here(ObjectStore(str(tmp_path / "other")), inputs, SILENT)
