"""A promotion is a commit: one file of the repository says which model serves, and the cluster follows it.

The file (an overlay's model.env) has a line `digest=sha256:…`. The branch is fetched as it is now, without its
history; the line is replaced, committed and pushed. Somebody else may push meanwhile: the server then refuses, and all
of it is done again on what the branch has become, so that nothing of theirs is lost. Repeated, a promotion finds its
digest there and does nothing. Taking one back is `git revert`.

Git is spoken by dulwich: no git is needed in the container.
"""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from yolocore.errors import ServiceError, UsageError
from yolocore.gitops.remote import Bot, connect, errors, shown
from yolocore.progress import SILENT, Listener
from yolocore.store import short

if TYPE_CHECKING:
    from dulwich.client import GitClient
    from dulwich.objects import ObjectID
    from dulwich.repo import Repo

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LINE = re.compile(r"^digest=(.*)$", re.MULTILINE)
_WAIT = 10.0  # seconds at most between two tries
AGAIN = "again and again; promote once more when it is calmer"  # what is said after the last try


@dataclass(frozen=True)
class Promotion:
    """commit: the head of the branch, which names the digest. previous: what it named before; empty: nothing.

    made: whether a commit was needed.
    """

    commit: str
    previous: str
    made: bool


class _MovedError(ServiceError):
    """Somebody else pushed between our fetch and our push."""


def promote(
    url: str,
    branch: str,
    file: str,
    digest: str,
    bot: Bot,
    *,
    tries: int = 5,
    listener: Listener = SILENT,
) -> Promotion:
    """Let a file of a branch name this digest.

    url: of the repository, https:// (or git:// and paths, which ask for no token). file: path in the repository.
    tries: how often all of it is done while the branch moves. Raises UsageError for a digest, a branch or a file that
    is none, ServiceError for a server that is unreachable or refuses, and when the tries are spent.
    """
    if not _DIGEST.fullmatch(digest):
        raise UsageError(f"digest={digest}: is no digest; give sha256: and 64 hexadecimal digits")
    attempts = Retrying(
        retry=retry_if_exception_type(_MovedError),
        stop=stop_after_attempt(tries),
        wait=wait_random_exponential(multiplier=0.2, max=_WAIT),
        before_sleep=lambda state: listener.note(f"{branch} has moved: try {state.attempt_number + 1} of {tries}"),
        reraise=True,
    )
    promotion = attempts(_try, url, branch, file, digest, bot)
    if promotion.made:
        listener.note(f"{file} of {branch} names {digest} since commit {promotion.commit}")
    else:
        listener.note(f"{file} of {branch} names {digest} already; nothing was done")
    return promotion


def _try(url: str, branch: str, file: str, digest: str, bot: Bot) -> Promotion:
    with tempfile.TemporaryDirectory(prefix="yolo-promote-") as folder, errors(url, bot):
        client, path = connect(url, bot)
        with contextlib.closing(_fetch(client, path, url, branch, Path(folder))) as repo:
            head = repo.head()
            previous = _write(Path(folder), file, digest, branch)
            if previous == digest:
                return Promotion(head.decode(), previous, made=False)
            worktree = repo.get_worktree()
            worktree.stage([file])
            made = worktree.commit(
                message=_message(file, digest, previous), author=bot.signature, committer=bot.signature
            )
            _push(client, path, repo, branch, head, made)
            return Promotion(made.decode(), previous, made=True)


def _fetch(client: GitClient, path: str, url: str, branch: str, folder: Path) -> Repo:
    """The branch's newest commit, checked out."""
    refs = client.get_refs(path.encode()).refs
    if f"refs/heads/{branch}".encode() not in refs:
        raise UsageError(f"{shown(url)}: has no branch {branch}; correct branch=")
    return client.clone(path, str(folder), mkdir=False, branch=branch, depth=1)


def _write(folder: Path, file: str, digest: str, branch: str) -> str:
    """Put the digest into the file; returns the one before."""
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise UsageError(f"file={file}: is not there on {branch}; give an overlay's model.env")
    text = path.read_text(encoding="utf-8")
    lines = _LINE.findall(text)
    if len(lines) != 1:
        raise UsageError(f"file={file}: has {len(lines)} lines digest= on {branch}; give an overlay's model.env")
    path.write_text(_LINE.sub(f"digest={digest}", text), encoding="utf-8")
    return str(lines[0]).strip()


def _message(file: str, digest: str, previous: str) -> bytes:
    before = f"Before: {previous}" if previous else "Before: nothing"
    return f"Promote {short(digest)}\n\n{file} serves {digest} from now on.\n{before}\n".encode()


def _push(client: GitClient, path: str, repo: Repo, branch: str, head: bytes, made: ObjectID) -> None:
    """Raises _MovedError when the branch is not at `head` any more."""
    from dulwich.refs import Ref

    name = Ref(f"refs/heads/{branch}".encode())

    def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        if refs.get(name) != head:
            raise _MovedError(f"{branch} has moved, {AGAIN}")
        return {name: made}

    # What lies before the one commit that was fetched, the server has.
    pack = functools.partial(repo.generate_pack_data, shallow=repo.get_shallow())
    result = client.send_pack(path.encode(), update, pack)
    refused = (result.ref_status or {}).get(name)
    if refused:
        # Between its answer and our push the server saw another one; anything else is a rule of its own.
        if re.search(r"fetch first|non-fast-forward|failed to update|cannot lock|stale", refused):
            raise _MovedError(f"{branch} has moved ({refused}), {AGAIN}")
        raise ServiceError(f"the server refuses a push to {branch} ({refused}); let the bot push there")
