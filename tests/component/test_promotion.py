"""The task that promotes, against a real git server."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.gitops.server import FILE, TOKEN, git, serve
from yolocore.component.promotion import catch_up, promote
from yolocore.lineage import registry
from yolocore.records import DeployRecord

git_server = pytest.fixture(serve, name="git_server")
DIGEST = "sha256:" + "d" * 64


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, SimpleNamespace]:
    common = {"key": "", "program": "", "config": {}, "inputs": {}, "views": (), "metrics": {}, "versions": {}}
    folder = tmp_path / "deployment"
    folder.mkdir()
    record = DeployRecord(
        step="deploy", artifacts={}, timings={}, model_name="detector", served_digest=DIGEST, **common
    )
    (folder / "record.json").write_text(record.to_json())
    return {
        "deployment": SimpleNamespace(path=str(folder)),
        "promotion": SimpleNamespace(
            path=str(tmp_path / "promotion"), uri="s3://pipelines/run-1/promote/promotion", metadata={}
        ),
    }


def test_what_was_deployed_is_what_production_is_told(git_server, artifacts, monkeypatch):
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    promote(**artifacts, url=git_server.url, file=FILE, branch="main")
    assert f"digest={DIGEST}" in git_server.show(FILE)
    promotion = artifacts["promotion"]
    assert promotion.metadata == {"commit": git_server.head(), "digest": DIGEST, "previous": ""}
    assert Path(promotion.path).read_text() == f"{git_server.head()}\n"


def test_a_refusal_is_one_line_with_its_code(git_server, artifacts, monkeypatch, capsys):
    monkeypatch.setenv("GIT_TOKEN", "wrong")
    before = git_server.head()
    with pytest.raises(SystemExit) as caught:
        promote(**artifacts, url=git_server.url, file=FILE, branch="main")
    assert caught.value.code == 5
    assert "GIT_TOKEN is expired" in capsys.readouterr().err
    assert git_server.head() == before
    assert not Path(artifacts["promotion"].path).exists()


def test_what_no_retry_can_mend_is_tried_once(git_server, artifacts, store, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    said = []
    for number in range(2):  # the second attempt would find the file
        git_server.commit(tmp_path / "developer", {"none.env": "digest=\n"} if number else {"other.env": ""})
        with pytest.raises(SystemExit) as ended:
            promote(**artifacts, url=git_server.url, file="none.env", branch="main")
        assert ended.value.code == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1] and "file=none.env: is not there on main" in said[0]


def test_what_another_try_may_mend_is_tried_again(git_server, artifacts, store, monkeypatch):
    monkeypatch.setenv("GIT_TOKEN", "wrong")
    with pytest.raises(SystemExit):
        promote(**artifacts, url=git_server.url, file=FILE, branch="main")
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    promote(**artifacts, url=git_server.url, file=FILE, branch="main")
    assert f"digest={DIGEST}" in git_server.show(FILE)


@pytest.fixture
def deployed(database):
    """A deployment that made its model the champion, as its last transition does."""
    client = registry.registry()
    registry.promote(client, "detector", registry.register(client, "detector", DIGEST, "triton:///d", {}))


def test_a_promotion_that_failed_is_made_up_for_and_one_that_was_taken_back_is_not(
    git_server, artifacts, deployed, monkeypatch, tmp_path, capsys
):
    promotion, where = artifacts["promotion"], {"url": git_server.url, "file": FILE, "branch": "main"}
    monkeypatch.setenv("GIT_TOKEN", "expired")
    with pytest.raises(SystemExit):
        promote(**artifacts, **where)
    assert DIGEST not in git_server.show(FILE)

    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    catch_up(promotion=promotion, name="detector", **where)
    made = git_server.head()
    assert f"digest={DIGEST}" in git_server.show(FILE)
    assert promotion.metadata == {"commit": made, "digest": DIGEST, "previous": ""}

    catch_up(promotion=promotion, name="detector", **where)
    assert git_server.head() == made

    git(tmp_path / "developer", "pull", "-q", "origin", "main")
    git(tmp_path / "developer", "revert", "--no-edit", made)
    git(tmp_path / "developer", "push", "-q", "origin", "HEAD:main")
    before = git_server.head()
    capsys.readouterr()
    catch_up(promotion=promotion, name="detector", **where)
    assert git_server.head() == before and DIGEST not in git_server.show(FILE)
    assert promotion.metadata == {"commit": before, "digest": "", "previous": ""}
    assert f"named {DIGEST} before and names nothing since; it is left so" in capsys.readouterr().err


def test_without_a_champion_there_is_nothing_to_catch_up_with(git_server, artifacts, database, capsys):
    with pytest.raises(SystemExit) as ended:
        catch_up(promotion=artifacts["promotion"], name="nobody", url=git_server.url, file=FILE, branch="main")
    assert ended.value.code == 2
    assert "catch_up: error: name=nobody: MLflow has no champion of this name" in capsys.readouterr().err
