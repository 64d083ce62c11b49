"""Every rule holds of everything that is applied, and every rule can fail."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.manifests.conftest import MANIFESTS, RENDERED, VARIANTS, Document, containers, label
from tests.manifests.rules import RULES, namespace, pods, quantity

# What is applied before, where documents name it.
TOGETHER = {
    "gitops/apps": ("gitops",),
    "followed": ("gitops",),
    "examples/trainjob": ("trainer",),
    "queued": ("trainer",),
    "datasets": ("gitops/events",),
    "datasets-sqs": ("gitops/events",),
}

Rendered = Mapping[str, list[Document]]


def applied(rendered: Rendered, name: str) -> list[Document]:
    return [document for each in (name, *TOGETHER.get(name, ())) for document in rendered[each]]


@pytest.mark.parametrize("name", [*RENDERED, *VARIANTS])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_holds(rendered: Rendered, name: str, rule: str) -> None:
    assert not list(RULES[rule](applied(rendered, name)))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_component_changes_what_it_is_put_into(rendered: Rendered, name: str) -> None:
    assert rendered[name] != rendered[VARIANTS[name][0]]


def test_a_private_registry_is_shown_its_secret_for_every_image_of_ours(rendered: Rendered) -> None:
    documents = rendered["private"]
    accounts = {(namespace(d), d["metadata"]["name"]): d for d in documents if d["kind"] == "ServiceAccount"}
    pods_of_ours = [
        (path, accounts[namespace(document), spec["serviceAccountName"]])
        for document, path, _, spec in pods(documents)
        if any("/yolocore-python-" in container.get("image", "") for container in containers(spec))
    ]
    assert {account["metadata"]["name"] for _, account in pods_of_ours} >= {"triton", "mlflow", "retraining", "train"}
    assert [path for path, account in pods_of_ours if account.get("imagePullSecrets") != [{"name": "registry"}]] == []


def test_what_an_overlay_offers_is_tried(rendered: Rendered) -> None:
    """Its first lines name the components that one line adds."""
    head = (MANIFESTS / "overlays/cpu/kustomization.yaml").read_text().partition("apiVersion")[0]
    offered = re.sub(r"\s*#\s*", " ", head).partition("under components:")[2].partition("(see")[0]
    tried = {component for base, components in VARIANTS.values() if "overlays" in base for component in components}
    assert {f"components/{name.strip()}" for name in offered.split(",")} <= tried
    assert "components/kueue" not in tried


def at(document: Any, path: str) -> tuple[Any, Any]:
    """The container of a path's last part, and that part; numbers are places in lists."""
    *parts, last = [int(part) if part.isdigit() else part.replace("~", "/") for part in path.split("/")]
    for part in parts:
        document = document[part]
    return document, last


def put(name: str, path: str, value: Any) -> Callable[[list[Document]], None]:
    def change(documents: list[Document]) -> None:
        container, last = at(next(d for d in documents if label(d) == name), path)
        container[last] = value

    return change


def drop(name: str, path: str) -> Callable[[list[Document]], None]:
    def change(documents: list[Document]) -> None:
        container, last = at(next(d for d in documents if label(d) == name), path)
        del container[last]

    return change


def remove(name: str) -> Callable[[list[Document]], None]:
    def change(documents: list[Document]) -> None:
        documents.remove(next(d for d in documents if label(d) == name))

    return change


def again(name: str) -> Callable[[list[Document]], None]:
    def change(documents: list[Document]) -> None:
        documents.append(next(d for d in documents if label(d) == name))

    return change


def add(document: Document) -> Callable[[list[Document]], None]:
    return lambda documents: documents.append(document)


TRITON, MLFLOW, FLOW = "Deployment/triton", "Deployment/mlflow", "WorkflowTemplate/retraining"
POD = "spec/template/spec"
FIRST = f"{POD}/containers/0"
SENSOR, CREATED = "Sensor/retraining", "spec/triggers/0/template/k8s/source/resource"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3", "namespace": "yolocore"}}
BREAKS = [
    ("names are labels", "overlays/gpu", put(TRITON, "metadata/name", "Triton_1")),
    ("names are labels", "overlays/gpu", put(TRITON, f"{FIRST}/name", "Triton")),
    ("no document comes twice", "overlays/gpu", again(TRITON)),
    ("every document says its namespace", "overlays/gpu", drop(TRITON, "metadata/namespace")),
    ("namespaces enforce the restricted level", "overlays/gpu", drop("Namespace/yolocore", "metadata/labels")),
    ("images have a version", "overlays/gpu", put(TRITON, f"{FIRST}/image", "registry:5000/triton")),
    ("images have a version", "overlays/gpu", put(TRITON, f"{FIRST}/image", "triton:latest")),
    ("images have a version", "overlays/gpu", put(FLOW, "spec/templates/0/container/image", "deploy")),
    ("images have a version", "overlays/gpu", drop(TRITON, f"{FIRST}/image")),
    ("our images are of this version", "overlays/gpu", put(TRITON, f"{FIRST}/image", "a/yolocore-python-triton:0.0.9")),
    ("pods are restricted", "overlays/gpu", drop(TRITON, f"{POD}/securityContext/runAsNonRoot")),
    ("pods are restricted", "overlays/gpu", put(TRITON, f"{POD}/securityContext/runAsUser", 0)),
    ("pods are restricted", "overlays/gpu", drop(FLOW, "spec/securityContext/seccompProfile")),
    ("pods are restricted", "overlays/gpu", put(TRITON, f"{POD}/hostNetwork", True)),
    (
        "pods are restricted",
        "overlays/gpu",
        put(TRITON, f"{POD}/volumes/0", {"name": "models", "hostPath": {"path": "/"}}),
    ),
    ("containers are restricted", "overlays/gpu", drop(TRITON, f"{FIRST}/securityContext/capabilities")),
    (
        "containers are restricted",
        "gitops/events",
        drop(SENSOR, "spec/template/container/securityContext"),
    ),
    (
        "containers are restricted",
        "gitops/events",
        drop("EventBus/default", "spec/jetstream/reloaderContainerTemplate"),
    ),
    ("containers are restricted", "overlays/gpu", put(TRITON, f"{FIRST}/securityContext/runAsUser", 0)),
    (
        "root file systems are read only",
        "kserve",
        drop("InferenceService/detector", "spec/predictor/containers/0/securityContext"),
    ),
    ("resources are set", "overlays/gpu", drop(TRITON, f"{POD}/initContainers/0/resources/limits/memory")),
    ("quantities parse", "overlays/gpu", put(TRITON, f"{FIRST}/resources/limits/memory", "4GB")),
    ("quantities parse", "overlays/gpu", put(TRITON, f"{POD}/volumes/0/emptyDir/sizeLimit", "2 Gi")),
    ("requests are within limits", "overlays/gpu", put(TRITON, f"{FIRST}/resources/requests/cpu", "4500m")),
    (
        "requests are within limits",
        "examples/trainjob",
        put("TrainJob/detector", "spec/trainer/resourcesPerNode/limits/memory", "4Gi"),
    ),
    ("gpus are asked for whole", "overlays/gpu", drop(TRITON, f"{FIRST}/resources/requests/nvidia.com~gpu")),
    ("gpus are asked for whole", "overlays/gpu", drop(TRITON, f"{POD}/tolerations")),
    ("shared memory fits into the memory", "overlays/gpu", put(TRITON, f"{POD}/volumes/1/emptyDir/sizeLimit", "5Gi")),
    ("probes are set", "overlays/gpu", drop(TRITON, f"{FIRST}/readinessProbe")),
    ("ports exist", "overlays/gpu", put(TRITON, f"{FIRST}/readinessProbe/httpGet/port", "https")),
    ("ports exist", "overlays/gpu", put("Service/triton", "spec/ports/0/targetPort", "web")),
    ("ports exist", "overlays/gpu", put("Service/triton", "spec/selector", {"app": "other"})),
    ("selectors match labels", "overlays/gpu", put(TRITON, "spec/selector/matchLabels", {"app": "other"})),
    (
        "selectors match labels",
        "overlays/gpu",
        put("PodDisruptionBudget/triton", "spec/selector/matchLabels", {"app": "other"}),
    ),
    ("selectors match labels", "overlays/gpu", put("ServiceMonitor/triton", "spec/endpoints/0/port", "web")),
    ("selectors match labels", "kserve-monitored", remove("Service/triton")),
    ("ports exist", "kserve-monitored", drop("InferenceService/detector", "spec/predictor/containers/0/ports/1")),
    (
        "what prometheus looks at is named after its release",
        "overlays/gpu",
        drop("ServiceMonitor/triton", "metadata/labels"),
    ),
    (
        "what prometheus looks at is named after its release",
        "overlays/gpu",
        drop("PrometheusRule/triton", "metadata/labels"),
    ),
    ("what prometheus looks at may be reached", "overlays/gpu", remove("NetworkPolicy/triton-metrics")),
    (
        "what prometheus looks at may be reached",
        "overlays/gpu",
        put("NetworkPolicy/triton-metrics", "spec/ingress/0/ports/0/port", 8000),
    ),
    (
        "network policies name pods that are",
        "overlays/gpu",
        put("NetworkPolicy/triton", "spec/podSelector/matchLabels", {"app": "other"}),
    ),
    ("nobody is reached without a policy", "candidate", remove("NetworkPolicy/triton-candidate")),
    ("volumes exist", "overlays/gpu", put(TRITON, f"{FIRST}/volumeMounts/0/name", "model")),
    ("volumes exist", "overlays/gpu", put(FLOW, "spec/volumes", [])),
    ("volumes exist", "candidate", remove("PersistentVolumeClaim/serving")),
    (
        "configuration exists",
        "overlays/gpu",
        put(FLOW, "spec/templates/0/container/envFrom/0/configMapRef/name", "services"),
    ),
    (
        "configuration exists",
        "overlays/gpu",
        put(TRITON, f"{POD}/initContainers/0/env/0/valueFrom/configMapKeyRef/key", "sha"),
    ),
    ("steps are told what all are told", "candidate", drop("ConfigMap/yolocore-services", "data/AWS_ENDPOINT_URL")),
    (
        "steps are told what all are told",
        "overlays/cpu",
        put("ConfigMap/yolocore-services", "data/YOLO_STORE", "s3://another/store"),
    ),
    ("variables in arguments are set", "overlays/gpu", put(TRITON, f"{POD}/initContainers/0/env/0/name", "SHA")),
    ("secrets are named and not told", "overlays/gpu", add(SECRET)),
    (
        "secrets are named and not told",
        "overlays/gpu",
        put(MLFLOW, f"{FIRST}/env/3", {"name": "POSTGRES_PASSWORD", "value": "x"}),
    ),
    ("a vault gives what is asked for", "vault", remove("ExternalSecret/postgres")),
    ("a vault gives what is asked for", "vault", put("ExternalSecret/triton", "spec/data/0/secretKey", "key")),
    ("a vault gives what is asked for", "vault", put("ExternalSecret/s3", "metadata/namespace", "default")),
    ("a vault gives what is asked for", "vault", put("ExternalSecret/git", "metadata/namespace", "default")),
    ("tokens of the cluster go to those who use them", "overlays/gpu", drop(TRITON, f"{POD}/serviceAccountName")),
    (
        "tokens of the cluster go to those who use them",
        "overlays/gpu",
        put(TRITON, f"{POD}/automountServiceAccountToken", True),
    ),
    ("roles are bound to what is", "overlays/gpu", put("RoleBinding/retraining", "roleRef/name", "other")),
    ("roles are bound to what is", "gitops/events", put("RoleBinding/sensor", "subjects/0/name", "other")),
    ("roles are bound to what is", "trainer", put("RoleBinding/submit-training", "subjects/0/namespace", "other")),
    ("roles are small", "overlays/gpu", put("Role/retraining", "rules/0/verbs", ["*"])),
    ("roles are small", "overlays/gpu", put("Role/retraining", "kind", "ClusterRole")),
    ("schedules parse", "schedule", put("CronWorkflow/retraining", "spec/schedules", ["0 25 * * 1"])),
    ("schedules parse", "gitops/events", put("EventSource/calendar", "spec/calendar/weekly/schedule", "0 0 3 * * 1")),
    ("restart policies fit", "overlays/gpu", put(TRITON, f"{POD}/restartPolicy", "Never")),
    (
        "autoscalers scale what is",
        "overlays/gpu",
        put("HorizontalPodAutoscaler/triton", "spec/scaleTargetRef/name", "tritons"),
    ),
    ("autoscalers scale what is", "overlays/gpu", put("HorizontalPodAutoscaler/triton", "spec/minReplicas", 9)),
    ("workflows start somewhere", "overlays/gpu", put(FLOW, "spec/entrypoint", "begin")),
    (
        "workflows start somewhere",
        "overlays/gpu",
        put(FLOW, "spec/templates/0/container/args/0", "{{inputs.parameters.comit}}"),
    ),
    ("workflows start somewhere", "overlays/gpu", put(FLOW, "spec/arguments/parameters/0/name", "y")),
    (
        "workflows fit their template",
        "schedule",
        put("CronWorkflow/retraining", "spec/workflowSpec/workflowTemplateRef/name", "train"),
    ),
    (
        "workflows fit their template",
        "schedule",
        put(
            "CronWorkflow/retraining", "spec/workflowSpec/arguments", {"parameters": [{"name": "comit", "value": "a"}]}
        ),
    ),
    ("workflows are where their controller looks", "overlays/gpu", put(FLOW, "metadata/namespace", "yolocore")),
    (
        "workflows are where their controller looks",
        "schedule",
        put("CronWorkflow/retraining", "metadata/namespace", "yolocore"),
    ),
    ("workflows are where their controller looks", "gitops/events", drop(SENSOR, f"{CREATED}/metadata/namespace")),
    ("sensors may create what they create", "gitops/events", put(SENSOR, f"{CREATED}/metadata/namespace", "yolocore")),
    ("sensors may create what they create", "gitops/events", put("Role/sensor", "rules/0/verbs", ["get"])),
    ("sensors may create what they create", "gitops/events", put("RoleBinding/sensor", "subjects/0/name", "events")),
    ("rollouts keep what serves", "overlays/gpu", put(TRITON, "spec/strategy/rollingUpdate/maxUnavailable", 1)),
    ("rollouts keep what serves", "overlays/gpu", put(TRITON, "spec/replicas", 2)),
    (
        "applications find their namespace",
        "gitops/apps",
        drop("Application/yolocore-events", "spec/syncPolicy/syncOptions"),
    ),
    (
        "applications stay in their project",
        "gitops/apps",
        put("Application/yolocore-serving", "spec/source/repoURL", "https://other"),
    ),
    (
        "applications stay in their project",
        "gitops/apps",
        put("Application/yolocore-serving", "spec/destination/namespace", "default"),
    ),
]


@pytest.mark.parametrize(("rule", "name", "change"), BREAKS)
def test_a_rule_can_fail(rendered: Rendered, rule: str, name: str, change: Callable[[list[Document]], None]) -> None:
    documents = copy.deepcopy(applied(rendered, name))
    change(documents)
    assert list(RULES[rule](documents))


def test_every_rule_is_broken_by_something() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


QUANTITIES: Sequence[tuple[str, object]] = [
    ("500m", "0.5"),
    ("2", "2"),
    ("1Ki", "1024"),
    ("2Gi", "2147483648"),
    ("1k", "1000"),
    ("1.5", "1.5"),
]


@pytest.mark.parametrize(("text", "number"), QUANTITIES)
def test_quantities(text: str, number: str) -> None:
    assert str(quantity(text).normalize()) == str(quantity(number).normalize())
