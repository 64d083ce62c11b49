"""What answers SIGTERM is put in place, and taken away again."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from yolocore.termination import on_sigterm


def test_it_answers_each_time_and_inner_answers_come_first() -> None:
    answers: list[str] = []
    with on_sigterm(lambda: answers.append("outer")):
        os.kill(os.getpid(), signal.SIGTERM)
        with on_sigterm(lambda: answers.append("inner")):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert answers == ["outer", "inner", "inner", "outer"]


def test_what_answered_before_is_put_back_even_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), on_sigterm(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is not before
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with on_sigterm(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
