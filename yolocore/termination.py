"""What answers SIGTERM, by which a cluster or an init system asks a process to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def on_sigterm(answer: Callable[[], None]) -> Iterator[None]:
    """Within it SIGTERM calls `answer`; what answered before does so again afterwards.

    Signals reach the main thread only: in any other thread this changes nothing.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        answer()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
