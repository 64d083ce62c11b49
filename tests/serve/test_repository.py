"""Entries that never change, names that point to them, and models that must not get in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.serve.finder import INFO, META, write_network, write_serving
from yolocore.errors import ModelError, StorageError, UsageError
from yolocore.serve import repository as models
from yolocore.serve.repository import Pointer
from yolocore.store import tree_digest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_serving(tmp_path / "serving.onnx")


def files(repository: Path) -> dict[str, bytes]:
    """What servers see."""
    paths = (p for p in sorted(repository.rglob("*")) if p.is_file())
    found = {p.relative_to(repository).as_posix(): p.read_bytes() for p in paths}
    return {path: content for path, content in found.items() if not path.startswith(".")}


def test_entry_is_named_by_the_digest_of_its_bytes(tmp_path, model):
    digest = models.write_entry(tmp_path / "a", "finder", model, INFO)
    entry = tmp_path / "a" / models.entry_name("finder", digest)
    assert tree_digest(entry) == digest
    assert sorted(p.relative_to(entry).as_posix() for p in entry.rglob("*") if p.is_file()) == [
        "1/model.onnx",
        "config.pbtxt",
        "labels.txt",
    ]
    assert (entry / "labels.txt").read_text() == "red\ngreen\n"


def test_same_model_gives_the_same_bytes_anywhere(tmp_path, model):
    for place in ("a", "b"):
        digest = models.write_entry(tmp_path / place, "finder", model, INFO)
        models.point(tmp_path / place, "finder", Pointer(digest, ""))
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_entry_under_another_name_has_the_same_digest(tmp_path, model):
    assert models.write_entry(tmp_path, "a", model, INFO) == models.write_entry(tmp_path, "b", model, INFO)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"conf": 0.3}, id="score limit"),
        pytest.param({"meta": META.model_copy(update={"names": ("red", "grün 緑")})}, id="class names"),
        pytest.param({"meta": META.model_copy(update={"imgsz": 96})}, id="size that it warms up at"),
    ],
)
def test_whatever_changes_the_answer_changes_the_digest(tmp_path, model, change):
    other = INFO.model_copy(update=change)
    digests = {models.write_entry(tmp_path, "finder", model, info) for info in (INFO, other)}
    assert len(digests) == 2
    assert len(list(tmp_path.glob("finder-*"))) == 2


def test_entry_that_stands_is_not_touched(tmp_path, model):
    digest = models.write_entry(tmp_path, "finder", model, INFO)
    entry = tmp_path / models.entry_name("finder", digest)
    before = entry.stat().st_ino, (entry / "config.pbtxt").stat().st_mtime_ns
    assert models.write_entry(tmp_path, "finder", model, INFO) == digest
    assert (entry.stat().st_ino, (entry / "config.pbtxt").stat().st_mtime_ns) == before


@pytest.mark.parametrize("damage", ["1/model.onnx", "config.pbtxt", "labels.txt"])
def test_damaged_entry_is_made_whole(tmp_path, model, damage):
    digest = models.write_entry(tmp_path, "finder", model, INFO)
    entry = tmp_path / models.entry_name("finder", digest)
    (entry / damage).write_bytes(b"")
    models.write_entry(tmp_path, "finder", model, INFO)
    assert tree_digest(entry) == digest


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        pytest.param(lambda p: p.write_bytes(b"\x08\x07nonsense"), "cannot be loaded", id="no ONNX"),
        pytest.param(lambda p: p.write_bytes(write_serving(p).read_bytes()[:300]), "cannot be loaded", id="truncated"),
        pytest.param(write_network, "is no serving model", id="the network alone"),
        pytest.param(lambda p: write_serving(p, batch=1), "no batch dimension", id="one image at a time"),
        pytest.param(
            lambda p: write_serving(p, boxes_name="rectangles"), "is no serving model", id="another output name"
        ),
    ],
)
def test_what_is_no_serving_model_is_refused_and_leaves_nothing(tmp_path, write, reason):
    path = tmp_path / "model.onnx"
    write(path)
    with pytest.raises(ModelError, match=reason) as caught:
        models.write_entry(tmp_path / "repository", "finder", path, INFO)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not (tmp_path / "repository").exists()


def test_pointer_is_read_back(tmp_path, model):
    digest = models.write_entry(tmp_path, "finder", model, INFO)
    assert models.pointer_of(tmp_path, "finder") is None
    models.point(tmp_path, "finder", Pointer(digest, "sha256:before"))
    assert models.pointer_of(tmp_path, "finder") == Pointer(digest, "sha256:before")
    assert models.served_names(tmp_path) == ["finder"]
    models.unpoint(tmp_path, "finder")
    assert models.pointer_of(tmp_path, "finder") is None


def test_pointing_to_no_entry_is_refused(tmp_path, model):
    digest = models.write_entry(tmp_path, "finder", model, INFO)
    models.point(tmp_path, "finder", Pointer(digest, ""))
    with pytest.raises(ModelError, match="holds no entry finder-000000000000"):
        models.point(tmp_path, "finder", Pointer("sha256:" + "0" * 64, digest))
    assert models.pointer_of(tmp_path, "finder") == Pointer(digest, "")


def test_what_is_derived_from_a_pointer_is_repaired(tmp_path, model):
    digest = models.write_entry(tmp_path, "finder", model, INFO)
    models.point(tmp_path, "finder", Pointer(digest, ""))
    whole = files(tmp_path)
    (tmp_path / "finder-jpeg" / "config.pbtxt").unlink()
    models.repair(tmp_path, "finder")
    assert files(tmp_path) == whole


def test_damaged_pointer_is_named(tmp_path):
    (tmp_path / "finder").mkdir()
    (tmp_path / "finder" / "config.pbtxt").write_text("platform: ensemble: what")
    with pytest.raises(StorageError, match=r"finder/config\.pbtxt: is damaged"):
        models.pointer_of(tmp_path, "finder")


def test_two_processes_do_not_change_a_name_at_once(tmp_path):
    with models.locked(tmp_path, "finder"):
        with pytest.raises(UsageError, match="another process"), models.locked(tmp_path, "finder"):
            pass
        with models.locked(tmp_path, "other"):
            pass


def test_name_tells_clients_what_they_need(tmp_path, model):
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    digest = models.write_entry(tmp_path, "finder", model, INFO)
    models.point(tmp_path, "finder", Pointer(digest, ""))
    config = text_format.Parse((tmp_path / "finder" / "config.pbtxt").read_text(), ModelConfig())
    assert json.loads(config.parameters["yolocore"].string_value) == INFO.model_dump(mode="json")
    assert config.parameters["digest"].string_value == digest
