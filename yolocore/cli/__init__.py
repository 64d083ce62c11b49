"""The command line: `yolo MODE key=value …`.

Nothing heavy is imported before the request has been checked, so help and mistakes answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolocore.errors import UsageError
from yolocore.views.ending import exit_code

if TYPE_CHECKING:
    from yolocore.config import DeployConfig
    from yolocore.serve.server import Endpoint


def main(words: Sequence[str] | None = None) -> int:
    """Run the command of `words` (default: the process's) and return its exit code."""
    words = sys.argv[1:] if words is None else words
    return exit_code(" ".join(["yolo", *words[:1]]), lambda: _dispatch(list(words)))


def _dispatch(words: list[str]) -> None:
    from yolocore.config import MODES

    wants_help = any(word in ("-h", "--help") for word in words)
    if not words or words[0] in ("-h", "--help", "help"):
        from yolocore.cli import help as help_texts

        help_texts.general({command: function.__doc__ or "" for command, function in COMMANDS.items()})
        return
    name, rest = words[0], words[1:]
    if name in COMMANDS:
        if wants_help:
            print(f"usage: yolo {name} key=value …\n\n{COMMANDS[name].__doc__}")
        else:
            COMMANDS[name](rest)
        return
    if name not in MODES:
        from yolocore.config.describe import unknown

        raise UsageError(unknown("mode", name, (*MODES, *COMMANDS)))
    if wants_help:
        from yolocore.cli import help as help_texts

        help_texts.mode(name)
    else:
        _run_mode(name, rest)


def _run_mode(mode: str, words: Sequence[str]) -> None:
    from yolocore.modes import run
    from yolocore.modes.request import read_keys, read_request
    from yolocore.views.live import live
    from yolocore.views.report import summary

    request = read_request(mode, read_keys(words))
    with live() as listener:
        record = run(request, listener)
    print("\n".join(summary(request.out, record)))


def _version(words: Sequence[str]) -> None:
    """Print the version."""
    import yolocore

    print(yolocore.__version__)


def _report(words: Sequence[str]) -> None:
    """Figures of all steps in a folder (default: runs), as text and as a page."""
    from yolocore.views.report import show

    show(Path(words[0] if words else "runs"))


def _serve(words: Sequence[str]) -> None:
    """Serve what is deployed until Ctrl-C. Keys are deploy's: repository, host, port, timeout, params."""
    from yolocore.serve.server import serve_forever
    from yolocore.views.live import live

    repository, endpoint, config = _deployment(words)
    with live() as listener:
        serve_forever(repository, endpoint, config.timeout, listener)


def _rollback(words: Sequence[str]) -> None:
    """Let a name serve what it served before. Keys are deploy's: name, repository, host, port, params."""
    from yolocore.modes.deploy import rollback
    from yolocore.views.live import live

    repository, endpoint, config = _deployment(words)
    with live() as listener:
        rollback(config.name, repository, endpoint, listener)


def _deployment(words: Sequence[str]) -> tuple[Path, Endpoint, DeployConfig]:
    """The place, address and settings of a deployment that has happened, from deploy's own keys."""
    from yolocore.config import DeployConfig
    from yolocore.modes.inputs import DeployInputs
    from yolocore.modes.request import read_keys, read_request
    from yolocore.serve.server import Endpoint

    happened = {"exported": "", "data": ""}  # what deploy needs and its followers don't
    request = read_request("deploy", {**read_keys(words), **happened})
    assert isinstance(request.config, DeployConfig) and isinstance(request.inputs, DeployInputs)
    return Path(request.inputs.repository), Endpoint(request.config.host, request.config.port), request.config


def _convert(words: Sequence[str]) -> None:
    """Write a checkpoint in the public YOLO11 layout, for other tools. Keys: model (a checkpoint), out (a file)."""
    from yolocore.model.checkpoint import load_weights
    from yolocore.model.publish import save_public
    from yolocore.modes.inputs import ConvertInputs
    from yolocore.modes.request import read_keys, validate

    inputs = validate(ConvertInputs, read_keys(words))
    save_public(Path(inputs.out), *load_weights(inputs.model))


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "serve": _serve,
    "rollback": _rollback,
    "convert": _convert,
    "report": _report,
    "version": _version,
}
