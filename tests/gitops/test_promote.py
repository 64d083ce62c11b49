"""A promotion becomes a commit on a real git server, whoever else pushes; and what goes wrong is one line."""

from __future__ import annotations

import dataclasses
import re
import socket
from pathlib import Path

import pytest

from tests.gitops.server import ENV, FILE, READER, TOKEN, GitServer, git
from tests.listeners import Notes
from yolocore.errors import ServiceError, UsageError, YoloError
from yolocore.gitops.__main__ import main
from yolocore.gitops.promote import Promotion, promote
from yolocore.gitops.remote import Bot

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
BOT = Bot("Promotion", "bot@example.com", "bot", TOKEN)


def push(server: GitServer, digest: str = ONE, *, bot: Bot = BOT, **keys: object):
    return promote(server.url, "main", FILE, digest, bot, **keys)  # type: ignore[arg-type]


def test_one_line_of_one_file_changes_in_the_bots_name(git_server: GitServer) -> None:
    before = git_server.head()
    made = push(git_server)
    assert made == Promotion(git_server.head(), digest=ONE, previous="", made=True)
    assert git_server.show(FILE) == ENV.replace("digest=", f"digest={ONE}").strip()
    assert git(git_server.bare, "rev-parse", "main^") == before
    assert git(git_server.bare, "diff", "--stat", "--name-only", before, "main") == FILE
    said = git(git_server.bare, "log", "-1", "--format=%an <%ae>|%cn <%ce>|%s|%b", "main").replace("\n", " ")
    assert said == (
        "Promotion <bot@example.com>|Promotion <bot@example.com>|Promote 111111111111|"
        f"{FILE} serves {ONE} from now on. Before: nothing"
    )


def test_promoted_again_nothing_is_done(git_server: GitServer) -> None:
    first = push(git_server)
    again = push(git_server)
    assert again == Promotion(first.commit, digest=ONE, previous=ONE, made=False)


def test_a_revert_takes_it_back(git_server: GitServer, tmp_path: Path) -> None:
    push(git_server)
    second = push(git_server, TWO)
    assert second.previous == ONE
    revert(git_server, tmp_path / "developer", second.commit)
    assert f"digest={ONE}" in git_server.show(FILE)


def revert(server: GitServer, work: Path, commit: str) -> None:
    git(work, "pull", "-q", "origin", "main")
    git(work, "revert", "--no-edit", commit)
    git(work, "push", "-q", "origin", "HEAD:main")


def test_what_failed_before_is_made_up_for(git_server: GitServer, tmp_path: Path) -> None:
    push(git_server)
    git_server.commit(tmp_path / "developer", {"note": "of another"})
    made = push(git_server, TWO, again=False)
    assert made == Promotion(git_server.head(), digest=TWO, previous=ONE, made=True)
    assert f"digest={TWO}" in git_server.show(FILE)
    assert push(git_server, TWO, again=False) == Promotion(made.commit, digest=TWO, previous=TWO, made=False)
    git(git_server.bare, "fsck", "--strict")


@pytest.mark.parametrize("later", [0, 3], ids=["at once", "with commits since"])
def test_what_a_human_took_back_is_left_alone(git_server: GitServer, tmp_path: Path, later: int) -> None:
    push(git_server)
    revert(git_server, tmp_path / "developer", push(git_server, TWO).commit)
    for number in range(later):
        git_server.commit(tmp_path / "developer", {"note": str(number)})
    before, notes = git_server.head(), Notes()
    left = push(git_server, TWO, again=False, listener=notes)
    assert left == Promotion(before, digest=ONE, previous=ONE, made=False)
    assert git_server.head() == before
    assert notes.texts == [
        f"{FILE} of main named {TWO} before and names {ONE} since; it is left so: "
        "promote by hand what shall serve again"
    ]
    assert push(git_server, TWO).made, "by hand it comes back"


def test_what_is_made_up_for_on_a_branch_that_moves_sees_a_revert_meanwhile(
    git_server: GitServer, tmp_path: Path
) -> None:
    """Between fetch and push another run promotes the same, and somebody takes it back."""

    def meanwhile() -> None:
        revert(git_server, tmp_path / "developer", push(git_server, TWO).commit)

    push(git_server)
    git_server.before_push.append(meanwhile)
    assert not push(git_server, TWO, again=False).made
    assert f"digest={ONE}" in git_server.show(FILE)


@pytest.mark.parametrize("times", [1, 3])
def test_on_a_branch_that_moves_it_is_done_again_and_nothing_is_lost(
    git_server: GitServer, tmp_path: Path, times: int
) -> None:
    work = tmp_path / "developer"
    for number in range(times):
        git_server.before_push.append(lambda number=number: git_server.commit(work, {f"note-{number}": "kept"}))
    made = push(git_server)
    assert made.commit == git_server.head()
    assert f"digest={ONE}" in git_server.show(FILE)
    assert all(git_server.show(f"note-{number}") == "kept" for number in range(times))


def test_two_at_once_both_become_commits(git_server: GitServer) -> None:
    git_server.before_push.append(lambda: push(git_server, TWO) and None)
    assert push(git_server, ONE).previous == TWO
    assert git(git_server.bare, "log", "--format=%s", "-2", "main").split("\n") == [
        "Promote 111111111111",
        "Promote 222222222222",
    ]


def without_token(server: GitServer, tmp_path: Path) -> YoloError:
    return refused(server, bot=dataclasses.replace(BOT, token=""))


def wrong_token(server: GitServer, tmp_path: Path) -> YoloError:
    return refused(server, bot=dataclasses.replace(BOT, token="wrong"))


def token_that_may_only_read(server: GitServer, tmp_path: Path) -> YoloError:
    return refused(server, bot=dataclasses.replace(BOT, token=READER))


def moves_always(server: GitServer, tmp_path: Path) -> YoloError:
    for number in range(2):
        server.before_push.append(lambda number=number: server.commit(tmp_path / "developer", {"note": str(number)}))
    return refused(server, tries=2)


def protected(server: GitServer, tmp_path: Path) -> YoloError:
    hook = server.bare / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho only reviewed changes >&2\nexit 1\n")
    hook.chmod(0o755)
    return refused(server)


def two_lines(server: GitServer, tmp_path: Path) -> YoloError:
    server.commit(tmp_path / "developer", {FILE: "digest=\ndigest=\n"})
    return refused(server)


def refused(server: GitServer, **keys: object) -> YoloError:
    before = server.head()
    with pytest.raises(YoloError) as caught:
        push(server, **keys)  # type: ignore[arg-type]
    if "tries" not in keys:
        assert server.head() == before
    return caught.value


REFUSALS = [
    pytest.param(without_token, ServiceError, "GIT_TOKEN is missing", id="no token"),
    pytest.param(wrong_token, ServiceError, "GIT_TOKEN is expired, or may not write there", id="wrong token"),
    pytest.param(token_that_may_only_read, ServiceError, "may not write there: make a new one", id="read only"),
    pytest.param(moves_always, ServiceError, "main has moved.* again and again", id="tries are spent"),
    pytest.param(protected, ServiceError, "refuses a push to main .*let the bot push there", id="protected branch"),
    pytest.param(two_lines, UsageError, "has 2 lines digest= on main", id="another kind of file"),
]


@pytest.mark.parametrize(("arrange", "kind", "reason"), REFUSALS)
def test_refusals_name_the_remedy(git_server: GitServer, tmp_path: Path, arrange, kind, reason, capfd) -> None:
    error = arrange(git_server, tmp_path)
    assert type(error) is kind or isinstance(error, kind)
    assert re.search(reason, str(error)), str(error)
    assert "\n" not in str(error) and TOKEN not in str(error)
    assert not capfd.readouterr().err, "what dulwich or the server print on the way"


WRONG_KEYS = [
    pytest.param({"digest": "sha256:12"}, UsageError, "digest=sha256:12: is no digest", id="digest"),
    pytest.param({"file": "manifests/overlays/cpu/none.env"}, UsageError, "is not there on main", id="no such file"),
    pytest.param({"file": "../../etc/passwd"}, UsageError, "is not there on main", id="outside of the repository"),
    pytest.param({"branch": "release"}, UsageError, "has no branch release; correct branch=", id="no such branch"),
    pytest.param({"url": "git@host:team/repository"}, UsageError, "SSH needs a program", id="SSH"),
    pytest.param({"url": "ssh://git@host/repository"}, UsageError, "SSH needs a program", id="SSH as a URL"),
    pytest.param(
        {"url": "http://127.0.0.1:9/a.git"}, ServiceError, "9/a.git: cannot be .*Connection refused", id="down"
    ),
    pytest.param(
        {"url": "http://127.0.0.1:9/403.git"}, ServiceError, "403.git: cannot be .*refused", id="a status in the name"
    ),
    pytest.param({"url": "/nowhere/at/all"}, ServiceError, "/nowhere/at/all: is no repository", id="no such folder"),
]


@pytest.mark.parametrize(("keys", "kind", "reason"), WRONG_KEYS)
def test_wrong_keys(git_server: GitServer, keys, kind, reason) -> None:
    right = {"url": git_server.url, "branch": "main", "file": FILE, "digest": ONE}
    with pytest.raises(kind, match=reason):
        promote(**{**right, **keys}, bot=BOT)


def test_a_server_that_falls_silent_is_given_up(git_server: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolocore.gitops.remote._TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.git"
        with pytest.raises(ServiceError, match=r"a\.git: cannot be reached .*timed out"):
            promote(url, "main", FILE, ONE, BOT)


def test_another_repository_of_the_same_server(git_server: GitServer) -> None:
    with pytest.raises(ServiceError, match=r"other\.git: .*(is no repository|refuses)"):
        promote(git_server.url.replace("repository", "other"), "main", FILE, ONE, BOT)


def test_the_command_prints_the_commit(git_server: GitServer, monkeypatch, capsys) -> None:
    for name, value in {"NAME": "Promotion", "EMAIL": "bot@example.com"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    words = ["promote", f"url={git_server.url}", f"file={FILE}", f"digest={ONE}"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.strip() == git_server.head()
    assert f"names {ONE} since commit" in said.err
    assert main(words) == 0
    assert "nothing was done" in capsys.readouterr().err


COMMANDS = [
    pytest.param([], "unknown command ''; there are promote, install, offer", id="nothing"),
    pytest.param(["promot"], "unknown command 'promot'; did you mean 'promote'?", id="a command that is none"),
    pytest.param(["promote", "url=x"], "file= is missing", id="a key is missing"),
    pytest.param(["promote", "urls=x"], "did you mean 'url'?", id="a key that is none"),
    pytest.param(["install", "name=a", "digest=", "repository=r"], "YOLO_STORE= is not set", id="no store"),
]


@pytest.mark.parametrize(("words", "reason"), COMMANDS)
def test_mistakes_on_the_command_line(words: list[str], reason: str, capsys, monkeypatch) -> None:
    monkeypatch.delenv("YOLO_STORE", raising=False)
    assert main(words) == UsageError.exit_code
    assert reason in capsys.readouterr().err
