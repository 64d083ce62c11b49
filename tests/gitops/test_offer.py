"""Putting a dataset where a retraining finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolocore.gitops.__main__ import main
from yolocore.store import ObjectStore, tree_digest


def test_a_folder_is_stored_and_announced(store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "images" / "a.jpg").write_bytes(b"a picture")
    assert main(["offer", f"data={tmp_path / 'mine'}"]) == 0
    digest = capsys.readouterr().out.split()[-1]
    assert digest == tree_digest(tmp_path / "mine")
    store.pull(digest, tmp_path / "there")
    assert (tmp_path / "there" / "images" / "a.jpg").read_bytes() == b"a picture"


def test_the_announcement_is_what_the_sensor_listens_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLO_STORE", str(tmp_path / "bucket" / "store"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("0 .5 .5 1 1")
    assert main(["offer", f"data={tmp_path / 'mine'}"]) == 0
    (announced,) = (tmp_path / "bucket").rglob("*.json")
    hexadecimal = tree_digest(tmp_path / "mine").removeprefix("sha256:")
    assert announced.relative_to(tmp_path / "bucket").as_posix() == f"store/datasets/{hexadecimal}.json"


@pytest.mark.parametrize(
    ("word", "place", "code", "line"),
    [
        pytest.param("data=none", "store", 3, "data=none: no such folder", id="no folder"),
        pytest.param("data=.", "", 2, "YOLO_STORE= is not set", id="no store"),
    ],
)
def test_a_mistake_is_one_line(word, place, code, line, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLO_STORE", place)
    assert main(["offer", word]) == code
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
