"""The command line: `yolo MODE key=value …`.

Nothing heavy is imported before the request has been checked, so help and mistakes answer at once.
Whatever the outside world can do wrong ends in one line on standard error and the exit code of its
class; a bug ends in one line, 70, and a file with the traceback.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from yolocore.errors import EXIT_BUG, UsageError, YoloError


def main(words: Sequence[str] | None = None) -> int:
    """Run the command of `words` (default: the process's) and return its exit code."""
    words = sys.argv[1:] if words is None else words
    name = " ".join(["yolo", *words[:1]])
    try:
        return _dispatch(list(words))
    except YoloError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone; say nothing, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        with tempfile.NamedTemporaryFile("w", prefix="yolo-", suffix=".traceback", delete=False) as file:
            traceback.print_exc(file=file)
        print(f"{name}: bug: {type(error).__name__}: {error}; traceback in {file.name}", file=sys.stderr)
        return EXIT_BUG


def _dispatch(words: list[str]) -> int:
    from yolocore.config import MODES

    wants_help = any(word in ("-h", "--help") for word in words)
    if not words or words[0] in ("-h", "--help", "help"):
        from yolocore.cli import help as help_texts

        help_texts.general({command: function.__doc__ or "" for command, function in COMMANDS.items()})
        return 0
    name, rest = words[0], words[1:]
    if name in COMMANDS:
        if wants_help:
            print(f"usage: yolo {name} …\n\n{COMMANDS[name].__doc__}")
        else:
            COMMANDS[name](rest)
        return 0
    if name not in MODES:
        from yolocore.modes.request import nearest

        raise UsageError(f"unknown mode {name!r}; did you mean {nearest(name, (*MODES, *COMMANDS))!r}?")
    if wants_help:
        from yolocore.cli import help as help_texts

        help_texts.mode(name)
    else:
        _run_mode(name, _keys(rest))
    return 0


def _keys(words: Sequence[str]) -> dict[str, str]:
    """'key=value' words as a dict. Raises UsageError for a word of another form, or a key that comes twice."""
    keys: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not of the form key=value")
        if key in keys:
            raise UsageError(f"{key}= is given twice")
        keys[key] = value
    return keys


def _run_mode(mode: str, keys: dict[str, str]) -> None:
    from yolocore.modes import run
    from yolocore.modes.request import read_request
    from yolocore.views.live import live
    from yolocore.views.report import summary

    request = read_request(mode, keys)
    with live() as listener:
        record = run(request, listener)
    print("\n".join(summary(request.out, record)))


def _version(words: Sequence[str]) -> None:
    """Print the version."""
    import yolocore

    print(yolocore.__version__)


def _report(words: Sequence[str]) -> None:
    """Figures of all steps in a folder (default: runs), as text and as a page."""
    from rich.console import Console

    from yolocore.store import write_atomic
    from yolocore.views import report

    folder = Path(words[0] if words else "runs")
    steps = report.finished_steps(folder)
    write_atomic(folder / report.PAGE, report.page(f"Results in {folder}", steps))
    console = Console()
    console.print(report.table(steps))
    for name, path in report.places(folder):
        console.print(f"{name}: {path}", markup=False, highlight=False)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"report": _report, "version": _version}
