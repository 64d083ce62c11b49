"""How a command ends: success, one line for what the outside world did wrong, or a file with a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from yolocore.errors import EXIT_BUG, UsageError, YoloError


class Terminated(KeyboardInterrupt):
    """SIGTERM, where nothing holds it back: what was begun is cleaned up as on Ctrl-C."""


def exit_code(name: str, action: Callable[[], None]) -> int:
    """Do it, and return the exit code of how it went. Errors are told in one line on standard error."""
    try:
        with _heard():
            action()
    except YoloError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:  # a slim installation was asked for more than its extra covers
        remedy = "install yolocore with the extra of this mode, as in 'yolocore[train]'"
        print(f"{name}: error: the package {error.name} is not installed; {remedy}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt as ended:
        print(f"{name}: interrupted", file=sys.stderr)
        return 143 if isinstance(ended, Terminated) else 130
    except BrokenPipeError:  # the reader of our output has gone; say nothing, not even while Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="yolo-", suffix=".traceback", delete=False) as file:
            traceback.print_exc(file=file)
        print(f"{name}: bug: {type(error).__name__}: {error}; traceback in {file.name}", file=sys.stderr)
        return EXIT_BUG
    return 0


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Within it SIGTERM ends the work. The first process of a container would else not hear of it at all."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
