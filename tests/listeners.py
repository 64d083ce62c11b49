"""A listener for tests that care for what is noted."""

from __future__ import annotations

from yolocore.progress import Silent


class Notes(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)
