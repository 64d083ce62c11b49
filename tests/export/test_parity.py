"""What parity accepts, what it refuses, and what it calls a tie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from yolocore.config import ExportConfig
from yolocore.detections import Detections
from yolocore.errors import RefusedError
from yolocore.export.parity import Candidate, network_candidate, prove
from yolocore.meta import ModelMeta, Task
from yolocore.nms import non_max_suppression
from yolocore.records import ParityRow
from yolocore.runtimes.base import columns

CONFIG = ExportConfig(conf=0.25, iou=0.7, max_det=10, parity_iou=0.99, parity_score=0.005)
META = ModelMeta(names=("a", "b"), imgsz=128)
IMAGE = np.zeros((128, 128, 3), np.uint8)

#       cx  cy   w   h  class score
ROWS = [
    [30, 30, 40, 40, 0, 0.90],
    [90, 90, 40, 40, 1, 0.60],
    [90, 30, 30, 50, 0, 0.40],
]


def prediction(rows: list[list[float]]) -> np.ndarray:
    """(6, N) raw predictions. A seventh number of a row is the score of its other class."""
    table = np.array([row[:6] for row in rows], np.float32)
    scores = np.zeros((2, len(rows)), np.float32)
    for number, (label, *both) in enumerate(row[4:] for row in rows):
        scores[int(label), number] = both[0]
        scores[1 - int(label), number] = both[1] if both[1:] else 0
    return np.concatenate([table[:, :4].T, scores])


class Checkpoint:
    """A runtime that sees the same in every image."""

    name = "fixed"
    meta = META
    shape = None

    def __init__(self, rows: list[list[float]]) -> None:
        self.prediction = prediction(rows)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray]:
        return (np.repeat(self.prediction[None], len(batch), axis=0),)


def found(rows: list[list[float]], config: ExportConfig = CONFIG) -> Detections:
    return non_max_suppression(prediction(rows), nc=2, conf=config.conf, iou=config.iou, max_det=config.max_det).found


def compare(
    rows: list[list[float]],
    answer: Detections,
    raw: Callable[[np.ndarray], np.ndarray] = lambda same: same,
    config: ExportConfig = CONFIG,
) -> ParityRow:
    checkpoint = Checkpoint(rows)
    candidate = Candidate("x.onnx", lambda batch: (raw(checkpoint.forward(batch)[0]),), lambda image: answer)
    (row,) = prove(checkpoint, [candidate], [("p.jpg", IMAGE), ("q.jpg", IMAGE)], config)
    return row


def moved(index: int, column: int, by: float) -> list[list[float]]:
    rows = [list(row) for row in ROWS]
    rows[index][column] += by
    return rows


def test_the_same_model_is_accepted() -> None:
    row = compare(ROWS, found(ROWS))
    assert row == ParityRow(
        model="x.onnx",
        images=2,
        boxes=6,
        unmatched=0,
        worst_iou=1.0,
        worst_score=0.0,
        raw_score=0.0,
        raw_pixels=0.0,
    )


def test_small_differences_are_accepted_and_told() -> None:
    answer = found(moved(0, 0, 0.1))
    answer.scores[1] -= 0.004
    row = compare(ROWS, answer, lambda raw: raw + np.float32(0.001))
    assert (row.worst_iou, row.worst_score) == (pytest.approx(0.995, abs=1e-3), pytest.approx(0.004, abs=1e-4))
    assert (row.raw_score, row.raw_pixels) == (0.001, 0.001)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(moved(0, 0, 1.0), "class 0 and score 0.900 has no equal: best IoU 0.95", id="moved"),
        pytest.param(moved(0, 2, 2.0), "class 0 and score 0.900 has no equal: best IoU 0.95", id="grown"),
        pytest.param(moved(1, 4, -1), "class 1 and score 0.600 has no equal: best IoU 0.0000", id="another class"),
        pytest.param(moved(1, 5, 0.01), "score of a box differs by 0.01, more than parity_score=0.005", id="surer"),
        pytest.param(ROWS[:2], "the checkpoint's box of class 0 and score 0.400", id="one missing"),
        pytest.param([*ROWS, [30, 90, 20, 20, 1, 0.5]], "the export's box of class 1 and score 0.500", id="one more"),
        pytest.param([[9, 9, 9, 9, 0, 0.1]], "the checkpoint's box", id="nothing found"),
    ],
)
def test_other_detections_are_refused(answer: list[list[float]], message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        compare(ROWS, found(answer))
    assert str(refused.value).startswith("x.onnx: on p.jpg, ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(lambda p: p + np.float32(0.01), "raw score differs by 0.01, more than parity_score", id="scores"),
        pytest.param(
            lambda p: p * np.float32(1.001), "raw coordinate differs by 0.09 pixels, more than 0.08", id="boxes"
        ),
        pytest.param(lambda p: p * np.float32(np.nan), "raw coordinate differs by nan", id="not a number"),
        pytest.param(lambda p: p[:, :, 1:], r"has the shapes \[.1, 6, 2.\], not \[.1, 6, 3.\]", id="another shape"),
    ],
)
@pytest.mark.parametrize("rows", [ROWS, [[*row[:5], 0.001] for row in ROWS]], ids=["detections", "no detections"])
def test_other_numbers_are_refused_even_where_nothing_is_detected(rows, raw, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        compare(rows, found(rows), raw)


BIG, RIVAL = [60, 60, 50, 50, 0, 0.800], [64, 60, 50, 50, 0, 0.798]  # IoU 0.85: only one of them survives


@pytest.mark.parametrize(
    ("rows", "answer", "unmatched"),
    [
        pytest.param([*ROWS, [30, 90, 20, 20, 1, 0.253]], ROWS, 1, id="a score just above conf"),
        pytest.param([*ROWS, [30, 90, 20, 20, 1, 0.248]], [*ROWS, [30, 90, 20, 20, 1, 0.251]], 1, id="just below"),
        pytest.param([BIG, RIVAL], [RIVAL], 2, id="two rivals, the other one wins"),
    ],
)
def test_ties_may_fall_either_way(rows, answer, unmatched: int) -> None:
    assert compare(rows, found(answer)).unmatched == 2 * unmatched


@pytest.mark.parametrize("shift", [8.7, 8.9], ids=["kept only by the export", "kept only by the checkpoint"])
def test_an_overlap_at_the_limit_may_fall_either_way(shift: float) -> None:
    """IoU 0.704 and 0.697: the one side suppresses where the other does not."""
    rows = [BIG, [60 + shift, 60, 50, 50, 0, 0.5]]
    boxes = Detections.merge([found([row]) for row in rows])
    kept = found(rows)
    answer = boxes if len(kept) == 1 else boxes[:1]
    assert compare(rows, answer).unmatched == 2


def test_the_best_class_of_a_place_may_be_either_of_two() -> None:
    torn = [30, 30, 40, 40, 0, 0.900, 0.899]
    assert compare([torn], found([[30, 30, 40, 40, 1, 0.901]])).unmatched == 4
    with pytest.raises(RefusedError, match=r"class 0 and score 0\.900 has no equal"):
        compare([[*torn[:6], 0.88]], found([[30, 30, 40, 40, 1, 0.901]]))


AROUND, TALLER = [64, 64, 140, 140, 0, 0.9], [64, 64, 140, 220, 0, 0.5]  # both cover the image; IoU 0.64


def shown(rows: list[list[float]]) -> Detections:
    """What a detector shows of these: cut at the border of the image."""
    boxes = found(rows)
    return Detections(boxes.boxes.clip(0, 128), boxes.scores, boxes.classes)


def test_boxes_that_the_border_makes_equal_belong_together_by_their_scores() -> None:
    row = compare([AROUND, TALLER], shown([AROUND, TALLER])[np.array([1, 0])])
    assert (row.boxes, row.unmatched, row.worst_score) == (4, 0, 0)


@pytest.mark.parametrize("shift", [24.3, 24.9], ids=["kept only by the export", "kept only by the checkpoint"])
def test_the_overlap_of_boxes_beyond_the_border_is_that_of_whole_boxes(shift: float) -> None:
    """IoU 0.704 and 0.697 as suppression sees them, 0.86 on the image."""
    rows = [AROUND, [64 + shift, 64, 140, 140, 0, 0.5]]
    boxes = Detections.merge([shown([row]) for row in rows])
    answer = boxes if len(found(rows)) == 1 else boxes[:1]
    assert compare(rows, answer).unmatched == 2


def test_the_last_row_of_a_full_answer_may_be_either_of_two() -> None:
    rows = [[20, 20, 20, 20, 0, 0.9], [60, 60, 20, 20, 0, 0.503], [100, 100, 20, 20, 0, 0.5]]
    full = CONFIG.model_copy(update={"max_det": 2})
    assert compare(rows, found(rows, CONFIG)[np.array([0, 2])], config=full).unmatched == 4


def test_a_rival_that_the_checkpoint_does_not_see_is_no_excuse() -> None:
    """Else a box that drifted would excuse itself."""
    with pytest.raises(RefusedError, match=r"checkpoint's box of class 0 and score 0\.800 has no equal"):
        compare([BIG], found([RIVAL]))


META_OF = {
    "segment": ModelMeta(task="segment", names=("a", "b"), imgsz=128),
    "pose": ModelMeta(task="pose", names=("a", "b"), imgsz=128, keypoints=(2, 3)),
    "obb": ModelMeta(task="obb", names=("a", "b"), imgsz=128),
    "classify": ModelMeta(task="classify", names=("a", "b"), imgsz=128),
}


class Other(Checkpoint):
    """A checkpoint for another task; spoil: what it is off by, as (which output, row of it, number added)."""

    def __init__(self, task: Task, spoil: tuple[int, int, float] | None = None) -> None:
        super().__init__(ROWS)
        self.meta = META_OF[task]
        rng = np.random.default_rng(0)
        extra = rng.uniform(0.1, 0.9, (max(columns(self.meta) - 6, 0), len(ROWS))).astype(np.float32)
        outputs = [np.concatenate([self.prediction, extra])[None]]
        if task == "segment":
            outputs.append(rng.uniform(0.1, 1, (1, 32, 32, 32)).astype(np.float32))
        elif task == "classify":
            outputs = [np.array([[0.3, 0.7]], np.float32)]
        if spoil:
            output, row, number = spoil
            outputs[output][:, row] += number
        self.outputs = tuple(outputs)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.outputs


@pytest.mark.parametrize("task", META_OF)
def test_other_tasks_are_proven(task: Task) -> None:
    same = network_candidate("x.onnx", Other(task), CONFIG)
    (row,) = prove(Other(task), [same], [("p.jpg", IMAGE)], CONFIG)
    assert (row.images, row.unmatched, row.raw_score, row.raw_pixels) == (1, 0, 0, 0)
    assert row.boxes == (0 if task == "classify" else 3)


@pytest.mark.parametrize(
    ("task", "spoil", "message"),
    [
        pytest.param("classify", (0, 1, 0.01), "score differs by 0.01", id="a probability"),
        pytest.param("segment", (0, 8, 0.02), "score differs by 0.02", id="a coefficient"),
        pytest.param("segment", (1, 8, 0.02), "score differs by 0.02", id="a prototype"),
        pytest.param("pose", (0, 7, 0.1), "coordinate differs by 0.1 pixels", id="a keypoint"),
        pytest.param("pose", (0, 8, 0.02), "score differs by 0.02", id="a keypoint's visibility"),
        pytest.param("obb", (0, 6, 0.02), "score differs by 0.02", id="an angle"),
    ],
)
def test_other_numbers_of_other_tasks_are_refused(task: Task, spoil: tuple[int, int, float], message: str) -> None:
    other = network_candidate("x.onnx", Other(task, spoil), CONFIG)
    with pytest.raises(RefusedError, match=message):
        prove(Other(task), [other], [("p.jpg", IMAGE)], CONFIG)
