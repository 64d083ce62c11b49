"""How a command ends: success, one line for what the outside world did wrong, or a file with a traceback."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from yolocore.errors import EXIT_BUG, UsageError, YoloError, error_classes
from yolocore.termination import on_sigterm


class Terminated(KeyboardInterrupt):
    """SIGTERM, where nothing holds it back: what was begun is cleaned up as on Ctrl-C."""


@dataclass(frozen=True)
class Ending:
    """How a command ended: its exit code, and the line that says why; no line where there is nothing to say."""

    code: int = 0
    line: str = ""

    @property
    def final(self) -> bool:
        """Whether the very same command would fail again."""
        return self.code in _FINAL


_FINAL = {EXIT_BUG, *(cls.exit_code for cls in error_classes() if not cls.transient)}


def exit_code(name: str, action: Callable[[], None]) -> int:
    """Do it, and return the exit code of how it went. Errors are told in one line on standard error."""
    return told(ending(name, action))


def told(ended: Ending) -> int:
    """Print an ending's line, if it has one; returns its code."""
    if ended.line:
        print(ended.line, file=sys.stderr)
    return ended.code


def ending(name: str, action: Callable[[], None]) -> Ending:
    """Do it, and say how it went."""
    try:
        with on_sigterm(_terminate):  # the first process of a container would else not hear of it at all
            action()
    except YoloError as error:
        return Ending(error.exit_code, f"{name}: error: {error}")
    except ModuleNotFoundError as error:  # a slim installation was asked for more than its extra covers
        remedy = "install yolocore with the extra of this mode, as in 'yolocore[train]'"
        return Ending(UsageError.exit_code, f"{name}: error: the package {error.name} is not installed; {remedy}")
    except KeyboardInterrupt as ended:
        return Ending(143 if isinstance(ended, Terminated) else 130, f"{name}: interrupted")
    except BrokenPipeError:  # the reader of our output has gone; say nothing, not even while Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Ending(141)
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="yolo-", suffix=".traceback", delete=False) as file:
            traceback.print_exc(file=file)
        return Ending(EXIT_BUG, f"{name}: bug: {type(error).__name__}: {error}; traceback in {file.name}")
    return Ending()


def _terminate() -> None:
    raise Terminated
