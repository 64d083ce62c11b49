"""A model is laid from the store into a pod's empty repository, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serve.finder import INFO, write_serving
from yolocore.errors import DataError
from yolocore.gitops.__main__ import main
from yolocore.serve import repository as models
from yolocore.serve.install import install
from yolocore.serve.repository import Pointer, entry_name, served_names
from yolocore.store import tree_digest
from yolocore.store.objects import ObjectStore


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


@pytest.fixture
def digest(tmp_path: Path, store: ObjectStore) -> str:
    """An entry that was verified elsewhere and pushed."""
    made = models.write_entry(tmp_path / "verified", "finder", write_serving(tmp_path / "serving.onnx"), INFO)
    assert store.push(tmp_path / "verified" / entry_name("finder", made)) == made
    return made


def test_the_pod_serves_what_was_verified(tmp_path: Path, store: ObjectStore, digest: str) -> None:
    pod = tmp_path / "pod"
    entry = install(store, "finder", digest, pod)
    assert entry == pod / entry_name("finder", digest) and tree_digest(entry) == digest
    assert models.pointer_of(pod, "finder") == Pointer(digest, "")
    assert {folder.name.partition("-")[0] for folder in pod.glob("[!.]*/")} == {"finder", "decode"}
    assert install(store, "finder", digest, pod) == entry, "a container that starts again"


def test_before_the_first_promotion_nothing_is_served(tmp_path: Path, store: ObjectStore) -> None:
    assert install(store, "finder", "", tmp_path / "pod") is None
    assert not served_names(tmp_path / "pod")


REFUSALS = [
    pytest.param("sha256:" + "0" * 64, "has no object sha256:0000", id="a digest of nothing"),
    pytest.param("sha256:12", "is no digest", id="no digest"),
    pytest.param("other", "is no served model but another folder", id="another folder"),
]


@pytest.mark.parametrize(("wanted", "reason"), REFUSALS)
def test_what_cannot_be_served_is_not(tmp_path: Path, store: ObjectStore, wanted: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "best.pt").write_bytes(b"weights")
    other = store.push(tmp_path / "folder")
    with pytest.raises(DataError, match=reason):
        install(store, "finder", other if wanted == "other" else wanted, tmp_path / "pod")
    assert not served_names(tmp_path / "pod")


def test_the_command(tmp_path: Path, store: ObjectStore, digest: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("YOLO_STORE", store.place)
    assert main(["install", "name=finder", f"digest={digest}", f"repository={tmp_path / 'pod'}"]) == 0
    assert f"finder serves {entry_name('finder', digest)}" in capsys.readouterr().err
    assert served_names(tmp_path / "pod") == ["finder"]
    assert main(["install", "name=finder", f"digest=sha256:{'0' * 64}", f"repository={tmp_path / 'pod'}"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "run the step that makes it again" in line
