"""MOT text: what is written reads back, the real files read, and bad lines are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from yolocore.detections import Detections
from yolocore.errors import DataError
from yolocore.track.mot import UNKNOWN, Sequence, mot_lines, read_mot, read_sequence

GOOD = "1,1,10,20,30,40,0.9,0,1"
SEQINFO = "[Sequence]\nname=Street\nframeRate=25\nseqLength=71\nimWidth=640\nimHeight=480\n"


@given(st.integers(1, 8).flatmap(lambda n: hnp.arrays(np.float32, (n, 4), elements=st.floats(1, 2000, width=32))))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, numbers: np.ndarray) -> None:
    n = len(numbers)
    boxes = np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)
    tracked = Detections(boxes, np.linspace(0, 1, n, dtype=np.float32), np.arange(n), np.arange(n) + 1)
    path = tmp_path_factory.mktemp("mot") / "tracks.txt"
    path.write_text("".join(mot_lines(7, tracked)))
    table = read_mot(path)
    np.testing.assert_array_equal(table.frames, 7)
    np.testing.assert_array_equal(table.ids, tracked.track_ids)
    np.testing.assert_array_equal(table.classes, tracked.classes)
    np.testing.assert_array_equal(table.visibility, UNKNOWN)
    np.testing.assert_allclose(table.boxes, tracked.boxes, atol=0.011)
    np.testing.assert_allclose(table.scores, tracked.scores, atol=5e-5)


def test_rows_are_found_by_frame_even_if_the_file_is_ordered_by_identity(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("2,1,0,0,5,5,1,0,1\n\n1,1,9,9,5,5,1,0,1\n2,2,1,1,5,5,1,0,1\n")
    table = read_mot(tmp_path / "gt.txt")
    assert [table.ids[table.at(frame)].tolist() for frame in (1, 2, 3)] == [[1], [1, 2], []]
    assert table.detections(2).boxes.tolist() == [[0, 0, 5, 5], [1, 1, 6, 6]]


def test_world_coordinates_of_mot15_are_not_taken_for_classes(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("1,1,50,191,61,141,1,-5.0036,11.913,0.69979\n")
    table = read_mot(tmp_path / "gt.txt")
    assert table.classes.tolist() == [UNKNOWN] and table.visibility.tolist() == [UNKNOWN]
    assert table.detections(1).classes.tolist() == [0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,1,10,20,30", "has 5 columns"),
        (GOOD + ",1,1", "has 11 columns"),
        ("1,1,10,twenty,30,40,1,0,1", "no number"),
        ("1,1,10,20,nan,40,1,0,1", "not finite"),
        ("0,1,10,20,30,40,1,0,1", "frames from 1"),
        ("1.5,1,10,20,30,40,1,0,1", "whole numbers"),
        ("1,1,10,20,0,40,1,0,1", "0 x 40 pixels is empty"),
        ("1 1 10 20 30 40 1 0 1", "has 1 columns"),
    ],
)
def test_a_malformed_line_is_named(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(DataError, match=reason) as caught:
        read_mot(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\xff\xfe\x00", "not text")])
def test_a_file_that_is_none_is_named(content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "gt.txt").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_mot(tmp_path / "gt.txt")


def test_an_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "tracks.txt").write_text("")
    assert len(read_mot(tmp_path / "tracks.txt")) == 0


def test_sequence_information(tmp_path: Path) -> None:
    (tmp_path / "seqinfo.ini").write_text(SEQINFO)
    assert read_sequence(tmp_path / "seqinfo.ini") == Sequence("Street", 25.0, 71, 640, 480)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("[Other]\n", "has no Sequence"),
        (SEQINFO.replace("frameRate", "rate"), "has no frameRate"),
        (SEQINFO.replace("71", "many"), "is no seqinfo.ini"),
        ("name=Street\n", "is no seqinfo.ini"),
    ],
)
def test_broken_sequence_information_is_named(content: str | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "seqinfo.ini").write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_sequence(tmp_path / "seqinfo.ini")
    assert "\n" not in str(caught.value)
