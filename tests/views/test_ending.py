"""Every ending has its exit code and at most one line."""

import os
import signal
import time

import pytest

from yolocore.errors import EXIT_BUG, error_classes
from yolocore.views.ending import exit_code


def raiser(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        *(
            pytest.param(cls("thing"), cls.exit_code, "yolo x: error: thing", id=cls.__name__)
            for cls in error_classes()
        ),
        pytest.param(KeyboardInterrupt(), 130, "yolo x: interrupted", id="Ctrl-C"),
        pytest.param(
            ModuleNotFoundError("No module named 'boto3'", name="boto3"),
            2,
            "yolo x: error: the package boto3 is not installed; "
            "install yolocore with the extra of this mode, as in 'yolocore[train]'",
            id="slim installation",
        ),
    ],
)
def test_an_expected_failure_is_one_line(error, code, line, capsys):
    assert exit_code("yolo x", raiser(error)) == code
    captured = capsys.readouterr()
    assert captured.err == line + "\n"
    assert captured.out == ""


def test_sigterm_ends_the_work_and_cleans_up(capsys):
    cleaned = []

    def action():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            cleaned.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert exit_code("yolo x", action) == 143
    assert cleaned and capsys.readouterr().err == "yolo x: interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_success_is_silent(capsys):
    assert exit_code("yolo x", lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_exit_codes_are_distinct():
    codes = [cls.exit_code for cls in error_classes()]
    assert len({0, EXIT_BUG, 130, *codes}) == len(codes) + 3


def test_a_bug_is_one_line_that_names_a_file_with_the_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert exit_code("yolo x", raiser(ZeroDivisionError("oops"))) == EXIT_BUG
    (traceback,) = tmp_path.iterdir()
    assert capsys.readouterr().err == f"yolo x: bug: ZeroDivisionError: oops; traceback in {traceback}\n"
    assert "Traceback (most recent call last)" in traceback.read_text()
