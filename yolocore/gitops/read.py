"""One file of a git repository, as a commit has it."""

from __future__ import annotations

import contextlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from yolocore.errors import UsageError
from yolocore.gitops.remote import Bot, connect, errors, shown

if TYPE_CHECKING:
    from dulwich.objects import Commit
    from dulwich.repo import BaseRepo


def read_at(url: str, commit: str, file: str) -> bytes:
    """url: as `promote` takes it. commit: 40 hexadecimal digits, or a branch. file: path in the repository.

    Raises UsageError for a commit or a file that is not there, ServiceError for a server that fails or refuses.
    """
    from dulwich.objects import Commit
    from dulwich.repo import MemoryRepo

    bot = Bot.of_environment()
    with errors(url, bot), contextlib.closing(MemoryRepo()) as repo:
        client, path = connect(url, bot)
        refs = client.get_refs(path.encode()).refs
        branch = refs.get(f"refs/heads/{commit}".encode())  # type: ignore[call-overload]
        wanted = branch or commit.encode()
        if not re.fullmatch(rb"[0-9a-f]{40}", wanted):
            raise UsageError(f"{shown(url)}: has no branch {commit}; correct commit=")
        client.fetch(path.encode(), repo, determine_wants=only(wanted), depth=1)
        if wanted not in repo:
            raise UsageError(f"{shown(url)}: has no commit {commit}; correct commit=")
        found = repo[wanted]
        assert isinstance(found, Commit)
        text = content(repo, found, file)
        if text is None:
            raise UsageError(f"{shown(url)}: has no {file} at {commit}; commit it, or leave out commit=")
        return text


def content(repo: BaseRepo, commit: Commit, file: str) -> bytes | None:
    """A file as a commit of a repository here has it; None where there is none of this path."""
    from dulwich.errors import NotTreeError
    from dulwich.object_store import tree_lookup_path

    try:
        _, blob = tree_lookup_path(repo.get_object, commit.tree, PurePosixPath(file).as_posix().encode())
    except (KeyError, NotTreeError):
        return None
    return repo[blob].as_raw_string()


def only(wanted: bytes) -> Any:
    """What is to be fetched, whatever the server offers."""

    def determine_wants(refs: Any, depth: int | None = None) -> list[bytes]:
        return [wanted]

    return determine_wants
