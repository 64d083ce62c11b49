"""Verdicts: what no retry can mend is not tried again, by this task and by this one alone."""

import pytest

from yolocore.component.verdict import judged
from yolocore.errors import (
    DataError,
    ModelError,
    PreemptedError,
    RefusedError,
    ServiceError,
    StorageError,
    UsageError,
)
from yolocore.views.ending import Ending

TASK = "s3://pipelines/run-1/train/checkpoint"


class Work:
    """Fails with the error, or succeeds, and counts how often it was tried."""

    def __init__(self, error=None):
        self.error, self.tries = error, 0

    def __call__(self, store):
        self.tries += 1
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "code", "tries"),
    [
        (UsageError("x"), 2, 1),
        (DataError("x"), 3, 1),
        (ModelError("x"), 4, 1),
        (ServiceError("x"), 5, 2),
        (StorageError("x"), 6, 2),
        (RefusedError("x"), 7, 1),
        (ZeroDivisionError("x"), 70, 1),
        (PreemptedError("x"), 75, 2),
        (KeyboardInterrupt(), 130, 2),
        (None, 0, 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_only_what_another_attempt_can_mend_is_tried_again(store, error, code, tries):
    work = Work(error)
    first, second = (judged("yolo train", TASK, work) for _ in range(2))
    assert work.tries == tries
    assert first.code == second.code == code
    assert tries > 1 or first == second, "the same line, to the name of the file with the traceback"
    other = Work()
    assert judged("yolo train", f"{TASK}-2", other) == Ending() and other.tries == 1


def test_the_line_and_the_code_are_those_of_the_first_attempt(store, task, capsys):
    said = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            task("one").perform("ingest", source="demo", shard_mb=-1)
        assert ended.value.code == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1] and "shard_mb=-1" in said[0] and said[0].count("\n") == 1
    # The same place, asked for what would do: the verdict is on the task, whose form never changes.
    with pytest.raises(SystemExit):
        task("one").perform("ingest", source="demo")
    task("two").perform("ingest", source="demo", demo_images=25, demo_imgsz=64, val_fraction=0.2)


def test_without_a_store_every_attempt_is_made():
    work = Work(DataError("x"))
    assert judged("yolo train", TASK, work) == judged("yolo train", TASK, work)
    assert work.tries == 2


def test_a_verdict_that_cannot_be_left_hides_nothing(store, monkeypatch):
    def unwritable(self, name, text):
        raise StorageError("full")

    monkeypatch.setattr(type(store), "put", unwritable)
    assert judged("yolo train", TASK, Work(DataError("x"))) == Ending(3, "yolo train: error: x")


@pytest.mark.parametrize(("place", "code"), [("gs://bucket", 2), ("s3://bucket", 5)])
def test_a_store_that_is_wrong_or_unreachable_ends_the_attempt(monkeypatch, place, code):
    for name, value in (("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ACCESS_KEY_ID", "x")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("YOLO_STORE", place)
    work = Work()
    ended = judged("yolo train", TASK, work)
    assert (ended.code, work.tries) == (code, 0)
    assert ended.line.startswith(f"yolo train: error: YOLO_STORE={place}: ")
