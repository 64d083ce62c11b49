"""A promotion is a commit: one file of the repository says which model serves, and the cluster follows it.

The file (an overlay's model.env) has a line `digest=sha256:…`. The branch is fetched as it is now, without its
history; the line is replaced, committed and pushed. Somebody else may push meanwhile: the server then refuses, and all
of it is done again on what the branch has become, so that nothing of theirs is lost. Repeated, a promotion finds its
digest there and does nothing. Taking one back is `git revert`, and who only makes up for a promotion that has failed
leaves that alone: the branch's history is asked whether it named the digest before.

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
from yolocore.gitops.read import content, only
from yolocore.gitops.remote import Bot, connect, errors, shown
from yolocore.progress import SILENT, Listener
from yolocore.store import short

if TYPE_CHECKING:
    from dulwich.client import GitClient
    from dulwich.objects import ObjectID
    from dulwich.repo import Repo

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LINE = re.compile(r"^digest=(.*)$", re.MULTILINE)
_ALL = 0x7FFFFFFF  # git's own depth for the whole history
_WAIT = 10.0  # seconds at most between two tries
AGAIN = "again and again; promote once more when it is calmer"  # what is said after the last try


@dataclass(frozen=True)
class Promotion:
    """commit: the head of the branch. digest: what its file names now. previous: what it named before; empty: nothing.

    made: whether a commit was made.
    """

    commit: str
    digest: str
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
    again: bool = True,
    tries: int = 5,
    listener: Listener = SILENT,
) -> Promotion:
    """Let a file of a branch name this digest.

    url: of the repository, https:// (or git:// and paths, which ask for no token). file: path in the repository.
    again: whether a digest may come back that the branch has named before and names no more; if not, it is left so.
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
    promotion = attempts(_try, url, branch, file, digest, bot, again)
    where = f"{file} of {branch}"
    if promotion.made:
        listener.note(f"{where} names {digest} since commit {promotion.commit}")
    elif promotion.digest == digest:
        listener.note(f"{where} names {digest} already; nothing was done")
    else:
        listener.note(
            f"{where} named {digest} before and names {promotion.digest or 'nothing'} since; it is left so: "
            "promote by hand what shall serve again"
        )
    return promotion


def _try(url: str, branch: str, file: str, digest: str, bot: Bot, again: bool) -> Promotion:
    with tempfile.TemporaryDirectory(prefix="yolo-promote-") as folder, errors(url, bot):
        client, path = connect(url, bot)
        with contextlib.closing(_fetch(client, path, url, branch, Path(folder))) as repo:
            head = repo.head()
            previous = _write(Path(folder), file, digest, branch)
            if previous == digest or not (again or _is_new(client, path, repo, file, digest)):
                return Promotion(head.decode(), previous, previous, made=False)
            worktree = repo.get_worktree()
            worktree.stage([file])
            made = worktree.commit(
                message=_message(file, digest, previous), author=bot.signature, committer=bot.signature
            )
            _push(client, path, repo, branch, head, made)
            return Promotion(made.decode(), digest, previous, made=True)


def _fetch(client: GitClient, path: str, url: str, branch: str, folder: Path) -> Repo:
    """The branch's newest commit, checked out."""
    refs = client.get_refs(path.encode()).refs
    if f"refs/heads/{branch}".encode() not in refs:
        raise UsageError(f"{shown(url)}: has no branch {branch}; correct branch=")
    return client.clone(path, str(folder), mkdir=False, branch=branch, depth=1)


def _is_new(client: GitClient, path: str, repo: Repo, file: str, digest: str) -> bool:
    """Whether no commit that led to the fetched one had the digest in this file. Fetches the whole history."""
    head = repo.head()
    client.fetch(path.encode(), repo, determine_wants=only(head), depth=_ALL)
    texts = (content(repo, entry.commit, file) for entry in repo.get_walker(include=[head]))
    return all(digest not in _digests((text or b"").decode(errors="replace")) for text in texts)


def _write(folder: Path, file: str, digest: str, branch: str) -> str:
    """Put the digest into the file; returns the one before."""
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise UsageError(f"file={file}: is not there on {branch}; give an overlay's model.env")
    text = path.read_text(encoding="utf-8")
    digests = _digests(text)
    if len(digests) != 1:
        raise UsageError(f"file={file}: has {len(digests)} lines digest= on {branch}; give an overlay's model.env")
    path.write_text(_LINE.sub(f"digest={digest}", text), encoding="utf-8")
    return digests[0]


def _digests(text: str) -> list[str]:
    """What the lines of a model.env name; there should be one."""
    return [str(digest).strip() for digest in _LINE.findall(text)]


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
