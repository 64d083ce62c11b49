"""What documents name is there: ports, pods, volumes, configuration, accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipelines.kubernetes import GIT, PLACES, S3, SERVICES
from tests.manifests.conftest import Document, label
from tests.manifests.rules.table import all_containers, namespace, of_kind, pods, rule, selects, values

# Accounts that come with what is installed beside these manifests: Kubeflow Pipelines runs its steps as this one.
INSTALLED = {("kubeflow", "pipeline-runner")}
PROMETHEUS = "kube-prometheus-stack"  # the release that docs/gitops.md installs


@rule
def ports_exist(documents: Sequence[Document]) -> Iterator[str]:
    """Of probes: in their container. Of a service: in a container of every pod that it selects."""
    for _, path, _, container in all_containers(documents):
        known = {port.get(key) for port in container.get("ports", []) for key in ("name", "containerPort")}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in known:
                yield f"{path}: {probe} at {port}"
    for service in of_kind(documents, "Service"):
        chosen = [
            spec
            for document, _, metadata, spec in pods(documents)
            if namespace(document) == namespace(service)
            and selects({"matchLabels": service["spec"]["selector"]}, metadata.get("labels", {}))
        ]
        if not chosen:
            yield f"{label(service)}: selects no pod"
        for spec in chosen:
            known = {
                p.get(key) for c in spec["containers"] for p in c.get("ports", []) for key in ("name", "containerPort")
            }
            for port in service["spec"]["ports"]:
                if port.get("targetPort", port["port"]) not in known:
                    yield f"{label(service)}: {port['name']}"


@rule
def selectors_match_labels(documents: Sequence[Document]) -> Iterator[str]:
    for document in of_kind(documents, "Deployment", "StatefulSet"):
        labels = document["spec"]["template"]["metadata"]["labels"]
        if not selects(document["spec"]["selector"], labels):
            yield label(document)
        for spread in document["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            if not selects(spread["labelSelector"], labels):
                yield f"{label(document)}: spread"
    for document in of_kind(documents, "PodDisruptionBudget"):
        if not any(selects(document["spec"]["selector"], m.get("labels", {})) for _, _, m, _ in pods(documents)):
            yield label(document)
    for document in of_kind(documents, "ServiceMonitor"):
        services = [
            s
            for s in of_kind(documents, "Service")
            if selects(document["spec"]["selector"], s["metadata"].get("labels", {}))
        ]
        if not services:
            yield f"{label(document)}: selects no service"
        for service in services:
            names = {port["name"] for port in service["spec"]["ports"]}
            if not {endpoint["port"] for endpoint in document["spec"]["endpoints"]} <= names:
                yield f"{label(document)}: port"


@rule
def what_prometheus_looks_at_is_named_after_its_release(documents: Sequence[Document]) -> Iterator[str]:
    for document in of_kind(documents, "ServiceMonitor", "PrometheusRule"):
        if document["metadata"].get("labels", {}).get("release") != PROMETHEUS:
            yield label(document)


@rule
def what_prometheus_looks_at_may_be_reached(documents: Sequence[Document]) -> Iterator[str]:
    """Every pod behind a ServiceMonitor lets another namespace in at the port of the metrics."""
    for monitor in of_kind(documents, "ServiceMonitor"):
        for document, path, metadata, spec in pods(documents):
            if selects(monitor["spec"]["selector"], metadata.get("labels", {})):
                ports = [p for c in spec["containers"] for p in c.get("ports", []) if p["name"] == "metrics"]
                opened = {
                    each["port"]
                    for policy in of_kind(documents, "NetworkPolicy")
                    if namespace(policy) == namespace(document)
                    and selects(policy["spec"]["podSelector"], metadata.get("labels", {}))
                    for line in policy["spec"].get("ingress", [])
                    if any(set(peer) == {"namespaceSelector"} for peer in line.get("from", []))
                    for each in line.get("ports", [])
                }
                if not ports or ports[0]["containerPort"] not in opened:
                    yield path


@rule
def network_policies_name_pods_that_are(documents: Sequence[Document]) -> Iterator[str]:
    """A policy that protects nobody, because a label was renamed, is no policy."""
    for policy in of_kind(documents, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        chosen = [
            metadata
            for document, _, metadata, _ in pods(documents)
            if namespace(document) == namespace(policy) and selects(selector, metadata.get("labels", {}))
        ]
        if selector and not chosen:
            yield label(policy)


@rule
def nobody_is_reached_without_a_policy(documents: Sequence[Document]) -> Iterator[str]:
    for document, path, metadata, _ in pods(documents):
        policies = [
            policy
            for policy in of_kind(documents, "NetworkPolicy")
            if namespace(policy) == namespace(document)
            and "Ingress" in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], metadata.get("labels", {}))
        ]
        if not policies:
            yield path


@rule
def volumes_exist(documents: Sequence[Document]) -> Iterator[str]:
    for document, path, spec, container in all_containers(documents):
        claims = [claim["metadata"]["name"] for claim in document.get("spec", {}).get("volumeClaimTemplates", [])]
        known = {volume["name"] for volume in spec.get("volumes", [])} | set(claims)
        mounted = [mount["name"] for mount in container.get("volumeMounts", [])]
        for name in mounted:
            if name not in known:
                yield f"{path}: {name}"
        places = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if len(places) != len(set(places)):
            yield f"{path}: two volumes at one place"
    for document, path, _, spec in pods(documents):
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            held = {
                c["metadata"]["name"]
                for c in of_kind(documents, "PersistentVolumeClaim")
                if namespace(c) == namespace(document)
            }
            if claim and claim not in held:
                yield f"{path}: claim {claim}"


@rule
def configuration_exists(documents: Sequence[Document]) -> Iterator[str]:
    """Every ConfigMap that is named is there, under the name with the hash, and has the key."""
    for document in documents:
        held = {
            c["metadata"]["name"]: c.get("data", {})
            for c in of_kind(documents, "ConfigMap")
            if namespace(c) == namespace(document)
        }
        for reference in values(document, "configMapRef"):
            if reference["name"] not in held:
                yield f"{label(document)}: {reference['name']}"
        for reference in values(document, "configMapKeyRef"):
            if reference["key"] not in held.get(reference["name"], {}):
                yield f"{label(document)}: {reference['name']} {reference['key']}"


@rule
def steps_are_told_what_all_are_told(documents: Sequence[Document]) -> Iterator[str]:
    """Compiled pipelines name a map and its keys; where another part has such a key too, both say the same."""
    maps = list(of_kind(documents, "ConfigMap"))
    if any(claim["metadata"]["name"] == "serving" for claim in of_kind(documents, "PersistentVolumeClaim")):
        told = next((each["data"] for each in maps if each["metadata"]["name"] == SERVICES), {})
        for place in PLACES:
            values_told = {each["data"][place] for each in maps if place in each.get("data", {})}
            if place not in told or len(values_told) > 1:
                yield f"{SERVICES}: {place}"


@rule
def variables_in_arguments_are_set(documents: Sequence[Document]) -> Iterator[str]:
    """Kubernetes leaves $(NAME) as it is where NAME is not set."""
    for document, path, _, container in all_containers(documents):
        held = {
            c["metadata"]["name"]: c.get("data", {})
            for c in of_kind(documents, "ConfigMap")
            if namespace(c) == namespace(document)
        }
        known = {variable["name"] for variable in container.get("env", [])}
        for source in container.get("envFrom", []):
            known |= held.get(source["configMapRef"]["name"], {}).keys()
        texts = [
            *container.get("command", []),
            *container.get("args", []),
            *(v.get("value", "") for v in container.get("env", [])),
        ]
        for name in re.findall(r"(?<!\$)\$\(([A-Za-z_]\w*)\)", " ".join(texts)):
            if name not in known:
                yield f"{path}: $({name})"


@rule
def a_vault_gives_what_is_asked_for(documents: Sequence[Document]) -> Iterator[str]:
    """Every key that a pod here must have, and those that the steps of pipelines ask for; and none that is optional."""
    given = {
        (namespace(secret), secret["spec"]["target"]["name"], key["secretKey"])
        for secret in of_kind(documents, "ExternalSecret")
        for key in secret["spec"]["data"]
    }
    if not given:
        return
    asked = {
        (namespace(document), reference["name"], reference["key"])
        for document in documents
        for reference in values(document, "secretKeyRef")
        if not reference.get("optional")
    }
    asked |= {("kubeflow", S3, "access-key"), ("kubeflow", S3, "secret-key"), ("kubeflow", GIT, "token")}
    for place, name, key in sorted(asked - given):
        yield f"{place} {name} {key}"
    for place, name, key in sorted(given - asked - {("yolocore", GIT, "webhook")}):  # of ../gitops/events
        yield f"{place} {name} {key}: is not asked for"


@rule
def roles_are_bound_to_what_is(documents: Sequence[Document]) -> Iterator[str]:
    for binding in of_kind(documents, "RoleBinding"):
        roles = {r["metadata"]["name"] for r in of_kind(documents, "Role") if namespace(r) == namespace(binding)}
        accounts = {(namespace(a), a["metadata"]["name"]) for a in of_kind(documents, "ServiceAccount")} | INSTALLED
        if binding["roleRef"]["kind"] != "Role" or binding["roleRef"]["name"] not in roles:
            yield f"{label(binding)}: role {binding['roleRef']['name']}"
        for subject in binding["subjects"]:
            if (subject.get("namespace"), subject["name"]) not in accounts:
                yield f"{label(binding)}: account {subject['name']}"


@rule
def autoscalers_scale_what_is(documents: Sequence[Document]) -> Iterator[str]:
    known = {(namespace(d), d["apiVersion"], label(d)) for d in documents}
    for scaler in of_kind(documents, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (namespace(scaler), target["apiVersion"], f"{target['kind']}/{target['name']}") not in known:
            yield label(scaler)
        if scaler["spec"]["minReplicas"] > scaler["spec"]["maxReplicas"]:
            yield f"{label(scaler)}: minReplicas"
