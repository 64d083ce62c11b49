"""What a document may say by itself: names, versions, privileges, resources, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from croniter import croniter

import yolocore
from tests.manifests.conftest import Document, label
from tests.manifests.rules.table import NAME, QUANTITY, all_containers, namespace, of_kind, pods, quantity, rule, values

GPU = "nvidia.com/gpu"
# What Kubernetes' own controllers start and watch: they probe. Jobs and workflow steps end by themselves.
SERVING = {"Deployment", "StatefulSet", "InferenceService"}
OPERATED = {"EventSource", "Sensor", "EventBus"}  # their operator chooses image, ports, volumes and probes


@rule
def names_are_labels(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        dotted = document["kind"] in ("ConfigMap", "CustomResourceDefinition")
        parts = str(document["metadata"]["name"]).split(".") if dotted else [str(document["metadata"]["name"])]
        if not all(NAME.fullmatch(part) for part in parts):
            yield label(document)
    for _, path, _, container in all_containers(documents):
        if "name" in container and not NAME.fullmatch(container["name"]):
            yield path


@rule
def no_document_comes_twice(documents: Sequence[Document]) -> Iterator[str]:
    seen = set()
    for document in documents:
        identity = (document["apiVersion"], namespace(document), label(document))
        if identity in seen:
            yield label(document)
        seen.add(identity)


@rule
def every_document_says_its_namespace(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        if document["kind"] != "Namespace" and not namespace(document):
            yield label(document)


@rule
def namespaces_enforce_the_restricted_level(documents: Sequence[Document]) -> Iterator[str]:
    for document in of_kind(documents, "Namespace"):
        if document["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield label(document)


@rule
def images_have_a_version(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        for image in values(document, "image"):
            tag = str(image).rpartition("/")[2].partition(":")[2]
            if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", str(image)) and (not tag or tag.startswith("latest")):
                yield f"{label(document)}: {image}"
    for document, path, _, container in all_containers(documents):
        if document["kind"] not in OPERATED and not container.get("image"):
            yield f"{path}: has no image"


@rule
def our_images_are_of_this_version(documents: Sequence[Document]) -> Iterator[str]:
    """A digest in an overlay is the cluster's owner's; a tag is this checkout's, or one of its variants."""
    for document in documents:
        for image in values(document, "image"):
            name, _, tag = str(image).rpartition("/")[2].partition(":")
            if name.startswith("yolocore-") and "@" not in name and tag.partition("-")[0] != yolocore.__version__:
                yield f"{label(document)}: {image}"


@rule
def pods_are_restricted(documents: Sequence[Document]) -> Iterator[str]:
    """What the Pod Security level `restricted` asks for of a pod."""
    for _, path, _, spec in pods(documents):
        security = spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
            yield f"{path}: may run as root"
        if security.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{path}: has no seccomp profile"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                yield f"{path}: {key}"
        for volume in spec.get("volumes", []):
            allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret", "ephemeral"}
            if not volume.keys() - {"name"} <= allowed:
                yield f"{path}: volume {volume['name']}"


@rule
def containers_are_restricted(documents: Sequence[Document]) -> Iterator[str]:
    for _, path, _, container in all_containers(documents):
        security = container.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{path}: may gain privileges"
        if security.get("capabilities", {}).get("drop") != ["ALL"] or security["capabilities"].get("add"):
            yield f"{path}: has capabilities"
        if security.get("runAsUser") == 0 or security.get("runAsNonRoot") is False:
            yield f"{path}: runs as root"


@rule
def root_file_systems_are_read_only(documents: Sequence[Document]) -> Iterator[str]:
    for _, path, _, container in all_containers(documents):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield path


@rule
def resources_are_set(documents: Sequence[Document]) -> Iterator[str]:
    for _, path, _, container in all_containers(documents):
        resources = container.get("resources", {})
        for kind in ("requests", "limits"):
            missing = {"cpu", "memory"} - resources.get(kind, {}).keys()
            if missing:
                yield f"{path}: no {kind} of {', '.join(sorted(missing))}"


@rule
def quantities_parse(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        for resources in values(document, "resources"):
            for kind in ("requests", "limits"):
                found = resources.get(kind, {}) if isinstance(resources, dict) else {}
                for value in found.values():
                    if not QUANTITY.fullmatch(str(value)):
                        yield f"{label(document)}: {value}"
        for key in ("sizeLimit", "averageValue"):
            for value in values(document, key):
                if not QUANTITY.fullmatch(str(value)):
                    yield f"{label(document)}: {value}"


@rule
def requests_are_within_limits(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        for key in ("resources", "resourcesPerNode"):
            for resources in values(document, key):
                if isinstance(resources, dict) and "limits" in resources:
                    for name, limit in resources["limits"].items():
                        if quantity(resources.get("requests", {}).get(name, 0)) > quantity(limit):
                            yield f"{label(document)}: {name}"


@rule
def gpus_are_asked_for_whole(documents: Sequence[Document]) -> Iterator[str]:
    """Kubernetes refuses a request that differs from the limit; without a toleration no node takes the pod."""
    for _, path, spec, container in all_containers(documents):
        resources = container.get("resources", {})
        asked, limit = (resources.get(kind, {}).get(GPU) for kind in ("requests", "limits"))
        if asked != limit:
            yield f"{path}: requests {asked}, limit {limit}"
        if limit and not any(toleration.get("key") == GPU for toleration in spec.get("tolerations", [])):
            yield f"{path}: no toleration"


@rule
def shared_memory_fits_into_the_memory(documents: Sequence[Document]) -> Iterator[str]:
    """What lies in a volume of memory counts towards the limits of its containers."""
    for _, path, _, spec in pods(documents):
        in_memory = [v["emptyDir"] for v in spec.get("volumes", []) if v.get("emptyDir", {}).get("medium") == "Memory"]
        if any("sizeLimit" not in volume for volume in in_memory):
            yield f"{path}: without limit"
        limits = [c.get("resources", {}).get("limits", {}).get("memory", 0) for c in spec["containers"]]
        total = sum((quantity(volume.get("sizeLimit", 0)) for volume in in_memory), Decimal(0))
        if in_memory and total * 2 > sum(map(quantity, limits)):
            yield f"{path}: more than half of the memory"


@rule
def probes_are_set(documents: Sequence[Document]) -> Iterator[str]:
    for document, path, _, spec in pods(documents):
        if document["kind"] in SERVING:
            for container in spec["containers"]:
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    if probe not in container:
                        yield f"{path} {container['name']}: no {probe}"


@rule
def secrets_are_named_and_not_told(documents: Sequence[Document]) -> Iterator[str]:
    for document in of_kind(documents, "Secret"):
        yield label(document)
    for _, path, _, container in all_containers(documents):
        for variable in container.get("env", []):
            secret = re.search(r"PASSWORD|SECRET|TOKEN|ADMIN_KEY|ACCESS_KEY", variable["name"])
            if secret and "secretKeyRef" not in variable.get("valueFrom", {}):
                yield f"{path}: {variable['name']}"


@rule
def tokens_of_the_cluster_go_to_those_who_use_them(documents: Sequence[Document]) -> Iterator[str]:
    """A pod has its account's token only where a role is bound to the account, and never that of `default`."""
    bound = {
        (subject.get("namespace"), subject["name"])
        for binding in of_kind(documents, "RoleBinding")
        for subject in binding["subjects"]
        if subject["kind"] == "ServiceAccount"
    }
    accounts = {(namespace(a), a["metadata"]["name"]): a for a in of_kind(documents, "ServiceAccount")}
    for document, path, _, spec in pods(documents):
        name = (namespace(document), spec.get("serviceAccountName", "default"))
        if name not in accounts:
            yield f"{path}: account {name[1]} is not there"
            continue
        mounts = spec.get("automountServiceAccountToken", accounts[name].get("automountServiceAccountToken", True))
        if mounts and name not in bound:
            yield f"{path}: has a token that it does not use"


@rule
def roles_are_small(documents: Sequence[Document]) -> Iterator[str]:
    for role in of_kind(documents, "Role", "ClusterRole", "ClusterRoleBinding"):
        if role["kind"] != "Role":
            yield f"{label(role)}: of the whole cluster"
        for line in role.get("rules", []):
            if "*" in [*line["verbs"], *line["resources"], *line["apiGroups"]] or "secrets" in line["resources"]:
                yield label(role)


@rule
def schedules_parse(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        found = [*values(document, "schedule"), *(s for of in values(document, "schedules") for s in of)]
        for schedule in found:
            if len(str(schedule).split()) != 5 or not croniter.is_valid(str(schedule)):
                yield f"{label(document)}: {schedule}"


@rule
def restart_policies_fit(documents: Sequence[Document]) -> Iterator[str]:
    for document, path, _, spec in pods(documents):
        allowed = (None, "Always") if document["kind"] in SERVING else (None, "Never", "OnFailure")
        if spec.get("restartPolicy") not in allowed:
            yield f"{path}: {spec['restartPolicy']}"
