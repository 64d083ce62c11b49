"""Progress while a step runs: a bar on a terminal, sparse plain lines in a log.

Both write to standard error, so that standard output carries results only.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

from yolocore.progress import Listener

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOG_INTERVAL = 10.0  # seconds between two lines about the same phase in a log


@contextlib.contextmanager
def live(stream: TextIO | None = None) -> Iterator[Listener]:
    """A listener for a person at a terminal, or for the log that the stream (default: standard error) ends in."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", style="dim"),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        yield Bar(progress)


def figures_text(figures: Mapping[str, float]) -> str:
    """'box_loss 1.234  map50 0.5': four significant digits are what a person reads."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


class Bar:
    """One bar for the current phase; epochs and notes scroll above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def start(self, label: str, total: int | None) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(label, total=total, figures="")

    def advance(self, n: int = 1, **figures: float) -> None:
        if self._task is not None:
            self._progress.advance(self._task, n)
            if figures:
                self._progress.update(self._task, figures=figures_text(figures))

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        self.note(f"epoch {number}  {figures_text(row)}")

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


class Lines:
    """Plain lines: each phase, epoch and note, and how far a phase is, no more often than `LOG_INTERVAL`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label = ""
        self._total: int | None = None
        self._done = 0
        self._spoken = 0.0

    def start(self, label: str, total: int | None) -> None:
        self._label, self._total, self._done = label, total, 0
        self._spoken = time.monotonic()
        self.note(label if total is None else f"{label} ({total})")

    def advance(self, n: int = 1, **figures: float) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._spoken >= LOG_INTERVAL:
            self._spoken = now
            total = "" if self._total is None else f"/{self._total}"
            self.note(f"{self._label} {self._done}{total}  {figures_text(figures)}".rstrip())

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        self.note(f"epoch {number}  {figures_text(row)}")

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
