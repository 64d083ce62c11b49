"""The door for the tasks that tell production, by a commit, which model it serves from now on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolocore.component.verdict import attempt
from yolocore.errors import UsageError
from yolocore.gitops.promote import promote as commit
from yolocore.gitops.remote import Bot
from yolocore.lineage import registry
from yolocore.records import DeployRecord
from yolocore.store import ObjectStore
from yolocore.views.live import live


def promote(*, deployment: Any, promotion: Any, url: str, file: str, branch: str) -> None:
    """Let a file of a branch name the model of a deployment; leave the commit in `promotion`.

    deployment, promotion: artifacts with a `path`, a `uri` and `metadata`. Others as `yolocore.gitops.promote` takes
    them. A failure ends the process with one line and the error's exit code.
    """
    _tell("promote", lambda: DeployRecord.load(Path(deployment.path)).served_digest, promotion, url, file, branch)


def catch_up(*, promotion: Any, name: str, url: str, file: str, branch: str) -> None:
    """Let a file of a branch name the champion of that name, where a run that made it one could not say so.

    A champion that the branch has named before and names no more was taken back by somebody; it is left so. The rest
    is as `promote` has it.
    """

    def champion() -> str:
        digest = registry.champion(registry.registry(), name).get(registry.DIGEST)
        if not digest:
            raise UsageError(f"name={name}: MLflow has no champion of this name; deploy one")
        return digest

    _tell("catch_up", champion, promotion, url, file, branch, again=False)


def _tell(
    task: str, served: Callable[[], str], promotion: Any, url: str, file: str, branch: str, *, again: bool = True
) -> None:
    """served: gives the digest."""

    def work(_: ObjectStore | None) -> None:
        digest = served()
        with live() as listener:
            made = commit(url, branch, file, digest, Bot.of_environment(), again=again, listener=listener)
        promotion.metadata.update(commit=made.commit, digest=made.digest, previous=made.previous)
        Path(promotion.path).write_text(f"{made.commit}\n", encoding="utf-8")

    attempt(task, promotion.uri, work)
