"""How a command ends: success, one line for what the outside world did wrong, or a file with a traceback."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable

from yolocore.errors import EXIT_BUG, UsageError, YoloError


def exit_code(name: str, action: Callable[[], None]) -> int:
    """Do it, and return the exit code of how it went. Errors are told in one line on standard error."""
    try:
        action()
    except YoloError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:  # a slim installation was asked for more than its extra covers
        remedy = "install yolocore with the extra of this mode, as in 'yolocore[train]'"
        print(f"{name}: error: the package {error.name} is not installed; {remedy}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone; say nothing, not even while Python exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="yolo-", suffix=".traceback", delete=False) as file:
            traceback.print_exc(file=file)
        print(f"{name}: bug: {type(error).__name__}: {error}; traceback in {file.name}", file=sys.stderr)
        return EXIT_BUG
    return 0
