"""Every document has the schema of its kind and version; and a document that has not is found."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import pytest

from tests.manifests.conftest import RENDERED, VARIANTS, Document, label
from tests.manifests.schemas import OPERATORS, NoSchemaError, folders, problems, stored
from tests.manifests.test_rules import drop, put


@pytest.mark.parametrize("name", [*RENDERED, *VARIANTS])
def test_documents_have_the_schema_of_their_kind(rendered: Mapping[str, list[Document]], name: str) -> None:
    unknown, wrong = set(), []
    for document in rendered[name]:
        try:
            wrong += [f"{label(document)}: {problem}" for problem in problems(document)]
        except NoSchemaError as error:
            unknown.add(str(error))
    assert not wrong
    if unknown:
        pytest.skip("; ".join(sorted(unknown)))


BREAKS = [
    ("overlays/cpu", put("Deployment/triton", "spec/template/spec/contaners", []), "contaners"),
    ("overlays/cpu", put("Deployment/triton", "spec/minReadySeconds", "5"), "'5' is not of type"),
    ("overlays/cpu", drop("Service/triton", "spec/ports/0/port"), "'port' is a required property"),
    ("overlays/cpu", put("NetworkPolicy/triton", "spec/ingres", []), "ingres"),
    ("overlays/cpu", put("StatefulSet/postgres", "kind", "StatefulSets"), "Couldn't find schema for kind StatefulSets"),
    ("overlays/cpu", put("Deployment/triton", "apiVersion", "apps/v1beta1"), "Couldn't find schema"),
    ("overlays/cpu", put("WorkflowTemplate/retraining", "kind", "WorkflowTemplat"), "is no kind that is used here"),
    ("overlays/cpu", put("WorkflowTemplate/retraining", "spec/templates/0/retryStrategy/limits", 3), "limits"),
    (
        "gitops/events",
        put("Sensor/retraining", "spec/triggers/0/template/k8s/parameters/0/src/dataKeys", "x"),
        "dataKeys",
    ),
    ("gitops/events", put("Sensor/retraining", "spec/dependencies/0/filters/data/0/typ", "x"), "typ: is no field"),
    ("gitops/events", put("Sensor/retraining", "spec/triggers/0/retryStrategy/duration", "soon"), "duration"),
    (
        "gitops/events",
        put("Sensor/retraining", "spec/triggers/0/template/k8s/source/resource/spec/templat", "x"),
        "templat",
    ),
    ("gitops/events", put("EventSource/git", "spec/webhook/push/endpont", "/x"), "endpont: is no field"),
    ("datasets", put("EventSource/datasets", "spec/minio/put/events", "x"), "should be a valid list"),
    ("datasets-sqs", put("EventSource/datasets", "spec/sqs/put/queu", "x"), "queu: is no field"),
    ("gitops/apps", put("Application/yolocore-serving", "spec/syncPolicy/automatic", {}), "automatic"),
    ("kserve", put("InferenceService/detector", "spec/predictor/minReplica", 1), "minReplica"),
    ("trainer", put("TrainingRuntime/yolocore", "spec/mlPolicy/torch/nodes", 1), "nodes"),
    ("examples/trainjob", put("TrainJob/detector", "spec/trainer/numNodes", "two"), "'two' is not of type"),
]


@pytest.mark.parametrize(("name", "change", "reason"), BREAKS)
def test_what_has_not_is_found(rendered: Mapping[str, list[Document]], name: str, change, reason: str) -> None:
    documents = copy.deepcopy(rendered[name])
    change(documents)
    (changed,) = (after for before, after in zip(rendered[name], documents, strict=True) if before != after)
    try:
        found = problems(changed)
    except NoSchemaError as error:
        pytest.skip(str(error))
    assert any(reason in problem for problem in found), found


def test_a_kind_of_nobody_is_an_error() -> None:
    assert problems({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}})


def test_schemas_that_are_there_are_strict() -> None:
    """A schema that allows any field would check nothing."""
    if not any(folder.is_dir() for folder in folders()):
        pytest.skip("no schemas of operators' kinds; fetch them: make schemas")
    for api_version, kinds in OPERATORS.items():
        for kind in kinds:
            schema = stored(api_version, kind)
            if schema and kind not in ("EventBus", "EventSource", "Sensor"):
                assert schema["properties"]["spec"].get("additionalProperties") is False, kind
