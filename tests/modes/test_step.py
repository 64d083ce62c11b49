"""A step: same key does nothing, failure leaves the old result, a crash leaves what a retry needs."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.listeners import Notes
from yolocore.config import PredictConfig
from yolocore.errors import DataError, PreemptedError, RefusedError, ServiceError, StorageError, UsageError
from yolocore.modes import step as step_module
from yolocore.modes.step import Step
from yolocore.progress import SILENT
from yolocore.records import PredictRecord, load_record

CONFIG = PredictConfig()
INPUTS = {"model": "sha256:m", "source": "sha256:s"}


def run(out, text="result", config=CONFIG, inputs=INPUTS):
    """A step that writes one file; returns its record and whether it worked."""
    with Step(PredictRecord, config, inputs, out) as step:
        if step.finished:
            return step.finished, False
        (step.work / "labels.txt").write_text(text)
        return step.publish(metrics={}, artifacts={"labels": "labels.txt"}, frames=1, objects={}), True


def test_the_second_run_does_nothing(tmp_path):
    first, worked = run(tmp_path / "out")
    again, worked_again = run(tmp_path / "out")
    assert (worked, worked_again) == (True, False)
    assert again == first == load_record(tmp_path / "out")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"config": PredictConfig(conf=0.5)}, id="another setting"),
        pytest.param({"inputs": {**INPUTS, "source": "sha256:t"}}, id="another input"),
    ],
)
def test_anything_that_decides_the_result_makes_it_work_again(tmp_path, change):
    first, _ = run(tmp_path / "out")
    second, worked = run(tmp_path / "out", **change)
    assert worked
    assert second.key != first.key


def test_how_to_run_is_no_reason_to_run_again(tmp_path):
    run(tmp_path / "out")
    assert not run(tmp_path / "out", config=PredictConfig(device="cpu"))[1]


def test_a_lost_artifact_is_made_again(tmp_path):
    run(tmp_path / "out")
    (tmp_path / "out" / "labels.txt").unlink()
    assert run(tmp_path / "out")[1]


@pytest.mark.parametrize(("holds", "finished"), [(lambda record: record.frames == 1, True), (lambda _: False, False)])
def test_a_record_may_have_to_hold_elsewhere_too(tmp_path, holds, finished):
    record, _ = run(tmp_path / "out")
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", holds=holds) as step:
        assert step.finished == (record if finished else None)


def test_records_differ_only_in_timings(tmp_path):
    one, two = run(tmp_path / "one")[0], run(tmp_path / "two")[0]
    assert one.canonical() == two.canonical()
    assert one.timings.keys() == {"seconds"}


def test_failure_leaves_the_old_result_and_no_work_folder(tmp_path):
    old, _ = run(tmp_path / "out")
    with pytest.raises(DataError), Step(PredictRecord, PredictConfig(conf=0.9), INPUTS, tmp_path / "out") as step:
        (step.work / "half").write_text("written")
        raise DataError("broken")
    assert load_record(tmp_path / "out") == old
    assert not list(tmp_path.glob(".out.*.partial"))


def test_a_full_disk_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No space left"), Step(PredictRecord, CONFIG, INPUTS, tmp_path / "o"):
        raise OSError(28, "No space left on device", "labels.txt")


@pytest.mark.parametrize("resumable", [True, False])
def test_a_killed_step_finds_its_work_again_only_if_it_resumes(tmp_path, resumable):
    program = f"""
        import os, signal
        from pathlib import Path
        from yolocore.config import PredictConfig
        from yolocore.modes.step import Step
        from yolocore.records import PredictRecord
        with Step(PredictRecord, PredictConfig(), {INPUTS!r}, Path({str(tmp_path / "out")!r}), resumable=True) as step:
            (step.work / "state").write_text("half way")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=resumable) as step:
        assert (step.work / "state").exists() is resumable


def interrupted(out, config=CONFIG, inputs=INPUTS, **how):
    """A resumable step that fails after it has written something."""
    with pytest.raises(DataError), Step(PredictRecord, config, inputs, out, resumable=True, **how) as step:
        (step.work / "state").write_text("half way")
        (step.work / ".state.7.tmp").write_text("torn")
        raise DataError("broken")


def test_resume_goes_on(tmp_path):
    interrupted(tmp_path / "out")
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True, resume=True) as step:
        assert {path.name for path in step.work.iterdir()} == {"state", "identity.json"}


@pytest.mark.parametrize(
    ("begun", "message"),
    [
        pytest.param(None, "nothing that was interrupted lies beside out=", id="nothing is there"),
        pytest.param(
            {"config": PredictConfig(conf=0.5)}, r"was begun with conf=0\.5, not 0\.25;", id="another setting"
        ),
        pytest.param(
            {"inputs": {**INPUTS, "source": "x"}}, r"was begun with another source \(x, not s\);", id="another input"
        ),
    ],
)
def test_resume_refuses_to_begin_and_says_why(tmp_path, begun, message):
    if begun:
        interrupted(tmp_path / "out", **begun)
    with (
        pytest.raises(UsageError, match=f"resume=true: .*{message}") as refusal,
        Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True, resume=True),
    ):
        pass
    assert "\n" not in str(refusal.value)


def test_what_was_interrupted_outlives_another_step_in_its_place(tmp_path):
    interrupted(tmp_path / "out")
    notes = Notes()
    with Step(PredictRecord, PredictConfig(conf=0.5), INPUTS, tmp_path / "out", resumable=True, listener=notes) as step:
        step.publish(metrics={}, artifacts={}, frames=1, objects={})
    (line,) = notes.texts
    assert "partial was begun with conf=0.25, not 0.5, and stays; give the same again to go on with it" in line
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True, resume=True) as step:
        assert (step.work / "state").read_text() == "half way"


GROWING = {"resumable": True, "grows": "max_det"}


@pytest.mark.parametrize("finished", [True, False])
def test_more_of_the_same_goes_on_from_what_is_done(tmp_path, finished):
    few, more = PredictConfig(max_det=3), PredictConfig(max_det=5)
    if finished:
        with Step(PredictRecord, few, INPUTS, tmp_path / "out", **GROWING) as step:
            (step.work / "state").write_text("three")
            step.publish(metrics={}, artifacts={}, frames=1, objects={})
    else:
        interrupted(tmp_path / "out", few, grows="max_det")
    less = [PredictConfig(max_det=2)] if finished else []
    for other in (PredictConfig(max_det=5, conf=0.5), *less):
        with Step(PredictRecord, other, INPUTS, tmp_path / "out", **GROWING) as step:
            assert not (step.work / "state").exists()
            shutil.rmtree(step.work)
    with Step(PredictRecord, more, INPUTS, tmp_path / "out", resume=True, **GROWING) as step:
        assert (step.work / "state").read_text() == ("three" if finished else "half way")
        assert {path.name for path in step.work.iterdir()} == {"state", "identity.json"}
        record = step.publish(metrics={}, artifacts={}, frames=1, objects={})
    with Step(PredictRecord, more, INPUTS, tmp_path / "fresh", **GROWING) as step:
        assert step.publish(metrics={}, artifacts={}, frames=1, objects={}).canonical() == record.canonical()


def test_a_folder_of_the_user_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds files that no step wrote"):
        run(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").exists()


# --- with an object store ---------------------------------------------------------------------------------------


def ends(out, error, config=CONFIG, resumable=True, listener=SILENT):
    """A step that ends by an error after it has written something."""
    with (
        pytest.raises(type(error), match=re.escape(str(error))),
        Step(PredictRecord, config, INPUTS, out, resumable=resumable, listener=listener) as step,
    ):
        (step.work / "state").write_text("half way")
        raise error


def found(out, config=CONFIG, listener=SILENT, **how):
    """What a step finds in its work folder on a machine whose disk is empty."""
    for path in out.parent.iterdir():
        if path.name != "store":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with Step(PredictRecord, config, INPUTS, out, resumable=True, listener=listener, **how) as step:
        state = step.work / "state"
        return state.read_text() if state.exists() else None


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param(PreemptedError("SIGTERM"), "half way", id="preempted"),
        pytest.param(ServiceError("MLflow is gone"), "half way", id="a server fails"),
        pytest.param(KeyboardInterrupt("^C"), "half way", id="Ctrl-C"),
        pytest.param(RuntimeError("CUDA error"), "half way", id="a bug, or a machine's"),
        pytest.param(RefusedError("the loss diverges"), None, id="what no other attempt will mend"),
    ],
)
def test_another_machine_goes_on_with_what_was_interrupted(store, tmp_path, error, kept):
    notes = Notes()
    ends(tmp_path / "out", error, listener=notes)
    assert found(tmp_path / "out", PredictConfig(conf=0.9)) is None, "another step"
    assert found(tmp_path / "out", listener=notes) == kept
    told = ["the work so far is kept: ", "goes on with what was interrupted, from "] if kept else []
    assert len(notes.texts) == len(told)
    assert all(line.startswith(start + store.place) for line, start in zip(notes.texts, told, strict=True))


def test_resume_finds_it_too(store, tmp_path):
    ends(tmp_path / "out", PreemptedError("SIGTERM"))
    assert found(tmp_path / "out", resume=True) == "half way"


@pytest.mark.parametrize(("seconds", "kept"), [(-1.0, "half way"), (3600.0, None)])
def test_a_machine_that_is_lost_without_a_word_had_kept_its_work_now_and_then(
    store, tmp_path, monkeypatch, seconds, kept
):
    monkeypatch.setattr(step_module, "KEEP_SECONDS", seconds)
    step = Step(PredictRecord, CONFIG, INPUTS, tmp_path / "lost" / "out", resumable=True)
    with contextlib.suppress(_LostError), step:
        (step.work / "state").write_text("half way")
        step.saved()
        monkeypatch.setattr(step, "_keep", lambda: None)  # SIGKILL leaves no time for it
        raise _LostError
    assert found(tmp_path / "out") == kept


class _LostError(Exception):
    pass


def test_what_is_here_is_not_fetched(store, tmp_path):
    ends(tmp_path / "out", PreemptedError("SIGTERM"))
    (work,) = tmp_path.glob(".out.*.partial")
    (work / "state").write_text("further")
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True) as step:
        assert (step.work / "state").read_text() == "further"


def test_what_another_machine_has_finished_is_not_done_again(store, tmp_path):
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "there" / "out", resumable=True) as step:
        (step.work / "found.txt").write_text("two birds")
        made = step.publish(metrics={}, artifacts={"found": "found.txt"}, frames=1, objects={"bird": 2})
    for config, record in ((PredictConfig(conf=0.9), None), (CONFIG, made)):
        notes = Notes()
        with Step(PredictRecord, config, INPUTS, tmp_path / "out", resumable=True, listener=notes) as step:
            assert step.finished == record
    assert (tmp_path / "out" / "found.txt").read_text() == "two birds"
    assert notes.texts[0].startswith(f"was finished elsewhere: {store.place}")


def test_a_published_step_is_forgotten(store, tmp_path):
    ends(tmp_path / "out", PreemptedError("SIGTERM"))
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True) as step:
        step.publish(metrics={}, artifacts={}, frames=1, objects={})
    assert found(tmp_path / "out") is None


def test_a_step_that_does_not_resume_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_STORE", str(tmp_path / "store"))
    ends(tmp_path / "out", PreemptedError("SIGTERM"), resumable=False)
    assert not (tmp_path / "store").exists()


@pytest.fixture
def unreachable(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")

    def begin():
        monkeypatch.setenv("YOLO_STORE", "s3://bucket")

    return begin


def test_a_store_that_fails_hides_no_error_and_spoils_no_result(unreachable, tmp_path):
    notes = Notes()
    with (
        pytest.raises(PreemptedError, match="SIGTERM"),
        Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True, listener=notes) as step,
    ):
        unreachable()
        raise PreemptedError("SIGTERM")
    assert [line.partition(": YOLO_STORE=")[0] for line in notes.texts] == [
        "the work so far stays on this machine alone"
    ]
    with Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True, listener=notes) as step:
        record = step.publish(metrics={}, artifacts={}, frames=1, objects={})
    assert load_record(tmp_path / "out") == record
    assert notes.texts[-1].startswith("the object store does not have the result: YOLO_STORE=s3://bucket")


def test_nothing_begins_anew_because_the_store_is_unreachable(unreachable, tmp_path):
    unreachable()
    with pytest.raises(ServiceError), Step(PredictRecord, CONFIG, INPUTS, tmp_path / "out", resumable=True):
        pass
    assert not list(tmp_path.glob(".out.*.partial"))


def test_what_is_damaged_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_STORE", str(tmp_path / "store"))
    ends(tmp_path / "out", PreemptedError("SIGTERM"))
    for path in (tmp_path / "store" / "objects").rglob("*"):
        if path.is_file() and path.read_text() == "half way":
            path.write_text("damaged")
    notes = Notes()
    assert found(tmp_path / "out", listener=notes) is None
    assert "is damaged" in notes.texts[0] and notes.texts[0].endswith("; what was interrupted begins anew")
