"""How long work reports itself, without knowing who listens.

A mode calls a `Listener`; the doors decide what that is: a live bar on a terminal, plain lines in a
log, an MLflow run. `Listeners` passes every call on to several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Listener(Protocol):
    def start(self, label: str, total: int | None) -> None:
        """A phase begins: what it does, and how many units it has (None: unknown)."""

    def advance(self, n: int = 1, **figures: float) -> None:
        """n more units are done; figures are the current values worth showing (loss, images/s)."""

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        """An epoch (from 1) ended with these figures. May be called again for the same epoch after a resume."""

    def note(self, text: str) -> None:
        """One line that a person wants to read."""


class Silent:
    """Hears nothing; the base of listeners that care for one kind of report."""

    def start(self, label: str, total: int | None) -> None: ...
    def advance(self, n: int = 1, **figures: float) -> None: ...
    def epoch(self, number: int, row: Mapping[str, float]) -> None: ...
    def note(self, text: str) -> None: ...


SILENT: Listener = Silent()


class Listeners:
    """Passes every call on to each of several listeners, in order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def start(self, label: str, total: int | None) -> None:
        for listener in self._listeners:
            listener.start(label, total)

    def advance(self, n: int = 1, **figures: float) -> None:
        for listener in self._listeners:
            listener.advance(n, **figures)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        for listener in self._listeners:
            listener.epoch(number, row)

    def note(self, text: str) -> None:
        for listener in self._listeners:
            listener.note(text)
