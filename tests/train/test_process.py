"""Signals, memory, determinism: what training does to its process, and undoes."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.errors import UsageError
from yolocore.train.process import deterministic, memory_errors, preemption, seed_step


def test_a_signal_waits_to_be_asked_for() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with preemption() as asked_to_end:
        assert not asked_to_end()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked_to_end()
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_can_train_too() -> None:
    done = []

    def train() -> None:
        with preemption() as asked_to_end:
            done.append(not asked_to_end())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [True]


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(lambda: torch.empty(1 << 55), id="the CPU's memory"),
        pytest.param(lambda: bytearray(1 << 62), id="Python's memory"),
    ],
)
def test_what_does_not_fit_in_memory(cause) -> None:
    with (
        pytest.raises(UsageError, match="batch=16: does not fit in memory at imgsz=640; give a smaller"),
        memory_errors(TrainConfig()),
    ):
        cause()


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="memory format"), memory_errors(TrainConfig()):
        raise RuntimeError("unsupported memory format option")


def test_determinism_is_a_loan() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_random_numbers_follow_the_position() -> None:
    def draw(*position: int) -> float:
        seed_step(*position)
        return torch.rand(1).item()

    assert draw(0, 7, 0) == draw(0, 7, 0)
    assert len({draw(0, 7, 0), draw(1, 7, 0), draw(0, 8, 0), draw(0, 7, 1)}) == 4
