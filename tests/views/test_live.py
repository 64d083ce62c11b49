"""Progress: sparse plain lines in a log, a bar on a terminal, both on the same calls."""

import io

import pytest

from yolocore.views import live as live_module
from yolocore.views.live import Lines, live


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drive(listener):
    listener.start("train", 3)
    for loss in (3.0, 2.0, 1.23456):
        listener.advance(loss=loss)
    listener.epoch(1, {"map50": 0.51239})
    listener.note("stopped early")


def test_a_log_has_phases_epochs_and_notes_but_not_every_step():
    stream = io.StringIO()
    with live(stream) as listener:
        assert isinstance(listener, Lines)
        drive(listener)
    assert stream.getvalue().splitlines() == ["train (3)", "epoch 1  map50 0.5124", "stopped early"]


def test_a_log_says_how_far_a_long_phase_is(monkeypatch):
    monkeypatch.setattr(live_module, "LOG_INTERVAL", 0.0)
    stream = io.StringIO()
    drive(Lines(stream))
    assert "train 3/3  loss 1.235" in stream.getvalue().splitlines()


@pytest.mark.parametrize("total", [3, None], ids=["known length", "stream without end"])
def test_a_terminal_keeps_epochs_and_notes(total, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with live(stream) as listener:
        listener.start("track", total)
        drive(listener)
    shown = stream.getvalue()
    assert "epoch 1  map50 0.5124" in shown
    assert "stopped early" in shown
