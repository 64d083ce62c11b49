"""Aliases on a real MLflow database: every transition may be repeated, and cut off in the middle."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException

from yolocore.errors import ServiceError
from yolocore.lineage import registry


@pytest.fixture
def client(database):
    return registry.registry()


def version(client, letter: str) -> str:
    return registry.register(client, "finder", f"sha256:{letter}", f"triton:///finder-{letter}", {"model": "sha256:m"})


def test_same_digest_is_the_same_version(client):
    assert [version(client, letter) for letter in "abab"] == ["1", "2", "1", "2"]
    kept = client.get_model_version("finder", "1")
    assert kept.source == "triton:///finder-a"
    assert kept.tags == {"digest": "sha256:a", "model": "sha256:m"}


def test_version_is_found_by_digest(client):
    assert registry.version_of(client, "finder", "sha256:a") is None
    version(client, "a")
    assert registry.version_of(client, "finder", "sha256:a") == "1"
    assert registry.version_of(client, "other", "sha256:a") is None


@pytest.mark.parametrize(
    ("steps", "aliases"),
    [
        pytest.param("", {}, id="registered only"),
        pytest.param("na", {"candidate": "1"}, id="nominated"),
        pytest.param("na wa", {}, id="withdrawn"),
        pytest.param("na wb", {"candidate": "1"}, id="who is not candidate cannot withdraw"),
        pytest.param("na pa", {"champion": "1"}, id="the first champion has none before it"),
        pytest.param("na pa nb pb", {"champion": "2", "previous": "1"}, id="the second has"),
        pytest.param("na pa nb pb nc", {"champion": "2", "previous": "1", "candidate": "3"}, id="a third in trial"),
        pytest.param("na pa nb pb nc pc", {"champion": "3", "previous": "2"}, id="a third"),
        pytest.param("na pa nb pb nb pb", {"champion": "2", "previous": "1"}, id="repeated"),
        pytest.param("na pa nb pb pa", {"champion": "1", "previous": "2"}, id="back"),
        pytest.param("na pa nb pb pa pb", {"champion": "2", "previous": "1"}, id="and forth"),
    ],
)
def test_aliases_move(client, steps, aliases):
    verbs = {"n": registry.nominate, "w": registry.withdraw, "p": registry.promote}
    versions = {letter: version(client, letter) for letter in "abc"}
    for verb, letter in steps.split():
        verbs[verb](client, "finder", versions[letter])
    assert registry.aliases(client, "finder") == aliases


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_promotion_that_is_cut_off_completes(client, monkeypatch, survived):
    """After any number of its writes: there is a champion all the while, and repeating it ends as it should."""
    first, second = version(client, "a"), version(client, "b")
    registry.promote(client, "finder", first)
    registry.nominate(client, "finder", second)
    left = iter(range(survived))

    def dying(write):
        def call(*arguments):
            if next(left, None) is None:
                raise KeyboardInterrupt
            write(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("set_registered_model_alias", "delete_registered_model_alias"):
            patch.setattr(client, name, dying(getattr(client, name)))
        with pytest.raises(KeyboardInterrupt):
            registry.promote(client, "finder", second)
    assert registry.aliases(client, "finder")["champion"] in (first, second)
    registry.promote(client, "finder", second)
    assert registry.aliases(client, "finder") == {"champion": second, "previous": first}


def test_refusal_is_one_line_that_names_mlflow(client):
    with pytest.raises(ServiceError, match=r"MLflow at sqlite:.*refuses") as caught:
        registry.aliases(client, "nobody")
    assert "\n" not in str(caught.value)
    with pytest.raises(MlflowException):  # what the store itself says, for comparison
        client.get_registered_model("nobody")


def test_unreachable_server_is_said_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match=r"MLflow at http://127\.0\.0\.1:9: cannot be used"):
        registry.registry()
