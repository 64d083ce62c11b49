"""The door for the task that tells production, by a commit, which model it serves from now on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolocore.component.verdict import attempt
from yolocore.gitops.promote import promote as commit
from yolocore.gitops.remote import Bot
from yolocore.records import DeployRecord
from yolocore.store import ObjectStore
from yolocore.views.live import live


def promote(*, deployment: Any, promotion: Any, url: str, file: str, branch: str) -> None:
    """Let a file of a branch name the model of a deployment; leave the commit in `promotion`.

    deployment, promotion: artifacts with a `path` and `metadata`. Others as `yolocore.gitops.promote` takes them.
    A failure ends the process with one line and the error's exit code.
    """

    def work(_: ObjectStore | None) -> None:
        digest = DeployRecord.load(Path(deployment.path)).served_digest
        with live() as listener:
            made = commit(url, branch, file, digest, Bot.of_environment(), listener=listener)
        promotion.metadata.update(commit=made.commit, digest=digest, previous=made.previous)
        Path(promotion.path).write_text(f"{made.commit}\n", encoding="utf-8")

    attempt("promote", promotion.uri, work)
