"""What no retry can mend is tried once.

An orchestrator repeats a task whatever its exit code was. So the attempt that fails for good leaves its verdict in
the object store, under the place of the task's result, which is the same for all attempts and for no other task.
Those that follow find it and end likewise.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from yolocore.errors import YoloError
from yolocore.store import ObjectStore, bytes_digest, configured
from yolocore.views.ending import Ending, ending, told


def attempt(name: str, result: str, work: Callable[[ObjectStore | None], None]) -> None:
    """What every task does that can fail: `judged`, and a failure ends the process with its one line and its code."""
    code = told(judged(name, result, work))
    if code:
        sys.exit(code)


def judged(name: str, result: str, work: Callable[[ObjectStore | None], None]) -> Ending:
    """Do the work with the store that is configured, and say how it went; or how it went before, if that was final.

    name: of the command, for messages. result: URI of what the task makes.
    """
    store: ObjectStore | None = None
    before: Ending | None = None

    def act() -> None:
        nonlocal store, before
        store = configured()
        before = verdict(store, result) if store else None
        if not before:
            work(store)

    ended = ending(name, act)
    if before:
        return before
    if store and ended.final:
        with contextlib.suppress(YoloError):  # the next attempt will fail by itself
            store.put(_pointer(result), json.dumps(asdict(ended)))
    return ended


def verdict(store: ObjectStore, result: str) -> Ending | None:
    """How the attempts at a result have ended for good; None where another one may do."""
    said = store.get(_pointer(result))
    return Ending(**json.loads(said)) if said else None


def overturn(store: ObjectStore, result: str) -> None:
    """Let a result be attempted again."""
    store.delete(_pointer(result))


def _pointer(result: str) -> str:
    return f"verdicts/{bytes_digest(result.encode()).removeprefix('sha256:')}"
