"""The value type: shapes are refused at construction, and slicing keeps the columns together."""

import numpy as np
import pytest

from yolocore.detections import Detections


def make(n: int, ids: bool = False) -> Detections:
    columns = np.arange(n)
    return Detections(
        np.repeat(columns, 4).reshape(n, 4).astype(np.float32),
        columns.astype(np.float32),
        columns.astype(np.int64),
        columns.astype(np.int64) + 1 if ids else None,
    )


@pytest.mark.parametrize(
    ("boxes", "scores", "classes", "named"),
    [
        pytest.param((3, 5), (3,), (3,), "boxes", id="boxes with five columns"),
        pytest.param((3, 4), (2,), (3,), "scores", id="a score too few"),
        pytest.param((3, 4), (3,), (3, 1), "classes", id="classes as a matrix"),
    ],
)
def test_refuses_columns_that_disagree(boxes, scores, classes, named):
    with pytest.raises(ValueError, match=named):
        Detections(np.zeros(boxes, np.float32), np.zeros(scores, np.float32), np.zeros(classes, np.int64))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(slice(1, 3), [1, 2], id="slice"),
        pytest.param(np.array([True, False, False, True]), [0, 3], id="mask"),
        pytest.param(np.array([3, 0]), [3, 0], id="indices, in their order"),
        pytest.param(np.zeros(4, bool), [], id="nothing"),
    ],
)
def test_rows_move_together(rows, expected):
    part = make(4, ids=True)[rows]
    assert part.classes.tolist() == expected
    assert part.scores.tolist() == expected
    assert part.boxes[:, 0].tolist() == expected
    assert part.track_ids is not None and part.track_ids.tolist() == [i + 1 for i in expected]


def test_merge_keeps_order_and_ids_only_when_all_have_them():
    assert Detections.merge([make(2), make(3)]).classes.tolist() == [0, 1, 0, 1, 2]
    assert Detections.merge([make(2, ids=True), make(1)]).track_ids is None
    assert Detections.merge([make(2, ids=True), make(1, ids=True)]).track_ids.tolist() == [1, 2, 1]
    assert len(Detections.merge([])) == len(Detections.empty()) == 0
