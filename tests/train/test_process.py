"""Signals, memory, determinism: what training does to its process, and undoes."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.errors import PreemptedError, UsageError
from yolocore.train.process import deterministic, memory_errors, mixed_precision, preemption


def test_a_signal_is_answered_at_the_next_check_only() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with preemption() as check:
        check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(PreemptedError, match="run the same command again"):
            check()
    assert signal.getsignal(signal.SIGTERM) is before
    assert PreemptedError.exit_code == 75


def test_another_thread_can_train_too() -> None:
    done = []

    def train() -> None:
        with preemption() as check:
            check()
        done.append(True)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done


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


def test_mixed_precision_follows_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for capabilities, expected in (
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, None),
        ({}, None),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda c=capabilities: c)
        assert mixed_precision(cpu) is expected
