"""What the cluster's pods and a pipeline's last step call.

    python -m yolocore.gitops promote url=https://… file=manifests/overlays/cpu/model.env digest=sha256:… [branch=main]
    python -m yolocore.gitops install name=detector digest=sha256:… repository=/models
    python -m yolocore.gitops offer data=data/mine

promote: let a file of a git branch name a model. The bot is GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL; it shows the server
GIT_TOKEN (and GIT_USER, where the server asks for one).
install: fetch a model from YOLO_STORE into a repository of models, for the server that starts next.
offer: put a folder of images and labels into YOLO_STORE, and announce it to whoever retrains. Prints its digest.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from yolocore.config.describe import unknown
from yolocore.errors import DataError, UsageError
from yolocore.modes.request import read_keys
from yolocore.store.objects import SETTING, ObjectStore, configured
from yolocore.views.ending import exit_code
from yolocore.views.live import live


def main(words: Sequence[str]) -> int:
    """Run one command with 'key=value' words; returns the exit code."""
    command = words[0] if words else ""
    return exit_code(f"gitops {command}".strip(), lambda: _run(command, words[1:]))


def _run(command: str, words: Sequence[str]) -> None:
    if command not in COMMANDS:
        raise UsageError(unknown("command", command, COMMANDS))
    run, required, optional = COMMANDS[command]
    keys = read_keys(words)
    known = (*required, *optional)
    for key in keys:
        if key not in known:
            raise UsageError(unknown("key", key, known))
    for key in required:
        if key not in keys:
            raise UsageError(f"{key}= is missing")
    run(**{**optional, **keys})


def _promote(url: str, file: str, digest: str, branch: str) -> None:
    from yolocore.gitops.promote import promote
    from yolocore.gitops.remote import Bot

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of each try; the last one is what matters
    with live() as listener:
        print(promote(url, branch, file, digest, Bot.of_environment(), listener=listener).commit)


def _install(name: str, digest: str, repository: str) -> None:
    from yolocore.serve.install import install

    with live() as listener:
        install(_store(), name, digest, Path(repository), listener)


def _offer(data: str) -> None:
    if not Path(data).is_dir():
        raise DataError(f"data={data}: no such folder; give one of images and labels")
    store = _store()
    with live() as listener:
        digest = store.push(Path(data), listener=listener)
    store.announce(digest)
    print(digest)


def _store() -> ObjectStore:
    store = configured()
    if store is None:
        raise UsageError(f"{SETTING}= is not set: the object store, as s3://bucket/prefix")
    return store


# The function, the keys that it needs, and those that it has values for.
COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...], dict[str, str]]] = {
    "promote": (_promote, ("url", "file", "digest"), {"branch": "main"}),
    "install": (_install, ("name", "digest", "repository"), {}),
    "offer": (_offer, ("data",), {}),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
