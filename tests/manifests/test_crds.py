"""The schemas that `make schemas` makes of operators' definitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.manifests import schemas
from tests.manifests.conftest import ROOT
from tests.manifests.crds import RELEASES, fetch, urls
from tests.manifests.schemas import MODELS, OPERATORS, problems

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  group: external-secrets.io
  names: {kind: ExternalSecret}
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              required: [port]
              properties:
                port: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: true}
                type: {type: string, nullable: true}
                labels: {type: object, additionalProperties: {type: string}}
                anything: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}
                items: {type: array, items: {type: object, properties: {name: {type: string}}}}
"""

SPECS = [
    ({"port": 1, "type": None, "labels": {"a": "b"}, "anything": {"b": 1}, "items": [{"name": "c"}]}, ""),
    ({"port": "http"}, ""),
    ({"port": 1.5}, "1.5 is not"),
    ({"port": []}, "[] is not"),
    ({}, "'port' is a required property"),
    ({"port": 1, "prot": 2}, "'prot' was unexpected"),
    ({"port": 1, "type": 2}, "2 is not of type"),
    ({"port": 1, "labels": {"a": 1}}, "1 is not of type 'string'"),
    ({"port": 1, "anything": {"a": 1}}, "1 is not of type 'string'"),
    ({"port": 1, "items": [{"nam": "c"}]}, "'nam' was unexpected"),
]


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The schemas of DEFINITION are what there is."""
    (tmp_path / "crd.yaml").write_text(DEFINITION)
    assert fetch([(tmp_path / "crd.yaml").as_uri()], tmp_path / "schemas") == 1
    monkeypatch.setenv("YOLO_CRD_SCHEMAS", str(tmp_path / "schemas"))
    schemas.stored.cache_clear()
    yield
    schemas.stored.cache_clear()


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(("spec", "line"), SPECS)
def test_a_definition_becomes_a_strict_schema(spec, line: str) -> None:
    document = {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "a"}}
    found = problems({**document, "spec": spec})
    assert bool(found) == bool(line)
    assert all(line in problem for problem in found)


@pytest.mark.usefixtures("fetched")
def test_what_is_made_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.stored("external-secrets.io/v1", "ExternalSecret"))


def test_one_line_says_what_could_not_be_fetched(tmp_path: Path) -> None:
    missing = (tmp_path / "none.yaml").as_uri()
    with pytest.raises(SystemExit, match=f"^make schemas: {missing}: "):
        fetch([missing], tmp_path)


def test_every_kind_that_nothing_else_describes_is_fetched() -> None:
    files = " ".join(urls())
    kinds = {kind for kinds in OPERATORS.values() for kind in kinds} - MODELS.keys()
    assert {kind for kind in kinds if kind.lower() not in files} == set()


def test_they_are_of_the_releases_that_are_installed() -> None:
    page = (ROOT / "docs/gitops.md").read_text("utf-8") + (ROOT / "docs/kubeflow.md").read_text("utf-8")
    assert {release for _, release, _ in RELEASES if release.removeprefix("v") not in page} == set()
