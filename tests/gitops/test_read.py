"""A file as a commit has it, from a real git server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gitops.server import TOKEN, GitServer
from yolocore.errors import ServiceError, UsageError
from yolocore.gitops.read import read_at


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TOKEN", TOKEN)


def test_a_commit_keeps_what_it_had_whatever_came_later(git_server: GitServer, tmp_path: Path) -> None:
    first = git_server.head()
    second = git_server.commit(tmp_path / "developer", {"params.yaml": "train: {epochs: 2}\n"})
    assert read_at(git_server.url, first, "params.yaml") == b"train: {epochs: 1}\n"
    assert read_at(git_server.url, second, "params.yaml") == b"train: {epochs: 2}\n"
    assert read_at(git_server.url, "main", "params.yaml") == b"train: {epochs: 2}\n"
    assert read_at(git_server.url, "main", "manifests/overlays/cpu/model.env")


@pytest.mark.parametrize(
    ("commit", "file", "line"),
    [
        pytest.param("other", "params.yaml", "has no branch other; correct commit=", id="no such branch"),
        pytest.param("main", "data/none.yaml", "has no data/none.yaml at main", id="no such file"),
        pytest.param("main", "params.yaml/x", "has no params.yaml/x at main", id="below a file"),
    ],
)
def test_what_is_not_there_is_named(commit: str, file: str, line: str, git_server: GitServer) -> None:
    with pytest.raises(UsageError, match=line):
        read_at(git_server.url, commit, file)


def test_a_commit_that_the_server_lacks(git_server: GitServer) -> None:
    with pytest.raises((UsageError, ServiceError), match=r"repository\.git: "):
        read_at(git_server.url, "1" * 40, "params.yaml")


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(ServiceError, match="cannot be reached"):
        read_at("http://127.0.0.1:9/repository.git", "main", "params.yaml")
