"""What holds of all manifests beyond their schemas, as a table of rules: most of it only a real server would see.

A rule takes the documents that are applied together, and yields a line for each that breaks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from croniter import croniter

import yolocore
from pipelines.kubernetes import GIT, PLACES, S3, SERVICES
from tests.manifests.conftest import Document, containers, label, pod_specs

Rule = Callable[[Sequence[Document]], Iterator[str]]
RULES: dict[str, Rule] = {}
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTPE]|[KMGTPE]i)?")
GPU = "nvidia.com/gpu"
# What Kubernetes' own controllers start and watch: they probe. Jobs and workflow steps end by themselves.
SERVING = {"Deployment", "StatefulSet", "InferenceService"}
# Accounts that come with what is installed beside these manifests: Kubeflow Pipelines runs its steps as this one.
INSTALLED = {("kubeflow", "pipeline-runner")}
# The namespace that the Argo Workflows of Kubeflow Pipelines looks into: a Workflow elsewhere would just lie there.
WORKFLOWS = "kubeflow"
PROMETHEUS = "kube-prometheus-stack"  # the release that docs/gitops.md installs
OPERATED = {"EventSource", "Sensor", "EventBus"}  # their operator chooses image, ports, volumes and probes


def rule(function: Rule) -> Rule:
    RULES[function.__name__.replace("_", " ")] = function
    return function


def quantity(value: object) -> Decimal:
    """'500m' → 0.5, '2Gi' → 2147483648. Raises ValueError for what is none."""
    match = QUANTITY.fullmatch(str(value))
    if not match:
        raise ValueError(f"{value!r} is no quantity")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit == "m":
        return number / 1000
    if unit.endswith("i"):
        return number * 1024 ** ("KMGTPE".index(unit[0]) + 1)
    return number * 1000 ** ("kMGTPE".index(unit) + 1 if unit else 0)


def pods(documents: Sequence[Document]) -> Iterator[tuple[Document, str, Document, Document]]:
    for document in documents:
        for path, metadata, spec in pod_specs(document):
            yield document, f"{label(document)} {path.lstrip('.')}", metadata, spec


def all_containers(documents: Sequence[Document]) -> Iterator[tuple[Document, str, Document, Document]]:
    for document, path, _, spec in pods(documents):
        for container in containers(spec):
            yield document, f"{path} {container.get('name', '')}".rstrip(), spec, container


def namespace(document: Document) -> str:
    return str(document["metadata"].get("namespace", ""))


def of_kind(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    return (document for document in documents if document["kind"] in kinds)


def selects(selector: Document, labels: Document) -> bool:
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] == "In" and labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def values(value: Any, key: str) -> Iterator[Any]:
    """All that stand under a key, however deep."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from values(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from values(item, key)


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
def secrets_are_named_and_not_told(documents: Sequence[Document]) -> Iterator[str]:
    for document in of_kind(documents, "Secret"):
        yield label(document)
    for _, path, _, container in all_containers(documents):
        for variable in container.get("env", []):
            secret = re.search(r"PASSWORD|SECRET|TOKEN|ADMIN_KEY|ACCESS_KEY", variable["name"])
            if secret and "secretKeyRef" not in variable.get("valueFrom", {}):
                yield f"{path}: {variable['name']}"


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


@rule
def autoscalers_scale_what_is(documents: Sequence[Document]) -> Iterator[str]:
    known = {(namespace(d), d["apiVersion"], label(d)) for d in documents}
    for scaler in of_kind(documents, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (namespace(scaler), target["apiVersion"], f"{target['kind']}/{target['name']}") not in known:
            yield label(scaler)
        if scaler["spec"]["minReplicas"] > scaler["spec"]["maxReplicas"]:
            yield f"{label(scaler)}: minReplicas"


@rule
def workflows_start_somewhere(documents: Sequence[Document]) -> Iterator[str]:
    """The entry is a template, and every {{…}} names a parameter that is there, with a name that Go reads as text."""
    for document in of_kind(documents, "WorkflowTemplate"):
        spec = document["spec"]
        templates = {template["name"]: template for template in spec["templates"]}
        if spec["entrypoint"] not in templates:
            yield f"{label(document)}: {spec['entrypoint']}"
        arguments = [parameter["name"] for parameter in spec["arguments"]["parameters"]]
        for template in templates.values():
            inputs = [parameter["name"] for parameter in template.get("inputs", {}).get("parameters", [])]
            for name in re.findall(r"\{\{inputs\.parameters\.([\w-]+)\}\}", str(template)):
                if name not in inputs:
                    yield f"{label(document)}: {name}"
            if template["name"] == spec["entrypoint"] and not set(inputs) <= set(arguments):
                yield f"{label(document)}: inputs without a value"
        for name in arguments:
            if name.lower() in ("n", "y", "no", "yes", "on", "off", "true", "false"):
                yield f"{label(document)}: {name}"


@rule
def workflows_fit_their_template(documents: Sequence[Document]) -> Iterator[str]:
    templates = {t["metadata"]["name"]: t for t in of_kind(documents, "WorkflowTemplate")}
    for cron in of_kind(documents, "CronWorkflow"):
        spec = cron["spec"]["workflowSpec"]
        name = spec["workflowTemplateRef"]["name"]
        if name not in templates:
            yield f"{label(cron)}: {name}"
            continue
        known = {parameter["name"] for parameter in templates[name]["spec"]["arguments"]["parameters"]}
        if not {parameter["name"] for parameter in spec.get("arguments", {}).get("parameters", [])} <= known:
            yield f"{label(cron)}: parameters"


@rule
def workflows_are_where_their_controller_looks(documents: Sequence[Document]) -> Iterator[str]:
    triggered = [resource for sensor in of_kind(documents, "Sensor") for resource in values(sensor, "resource")]
    for document in [*of_kind(documents, "WorkflowTemplate", "CronWorkflow"), *triggered]:
        if namespace(document) != WORKFLOWS:
            yield label(document)


@rule
def sensors_may_create_what_they_create(documents: Sequence[Document]) -> Iterator[str]:
    roles = {(namespace(role), role["metadata"]["name"]): role["rules"] for role in of_kind(documents, "Role")}
    for sensor in of_kind(documents, "Sensor"):
        account = (namespace(sensor), sensor["spec"]["template"]["serviceAccountName"])
        for resource in values(sensor, "resource"):
            place, group = namespace(resource) or account[0], resource["apiVersion"].rpartition("/")[0]
            granted = [
                line
                for binding in of_kind(documents, "RoleBinding")
                if namespace(binding) == place
                and account in {(subject.get("namespace"), subject["name"]) for subject in binding["subjects"]}
                for line in roles.get((place, binding["roleRef"]["name"]), [])
            ]
            if not any(
                group in line["apiGroups"]
                and f"{resource['kind'].lower()}s" in line["resources"]
                and "create" in line["verbs"]
                for line in granted
            ):
                yield f"{label(sensor)}: {resource['kind']} in {place}"


@rule
def rollouts_keep_what_serves(documents: Sequence[Document]) -> Iterator[str]:
    """No old pod of the serving Triton leaves before a new one is ready; the autoscaler alone sets their number."""
    for document in of_kind(documents, "Deployment"):
        if document["metadata"]["name"] == "triton":
            rolling = document["spec"].get("strategy", {}).get("rollingUpdate", {})
            if rolling.get("maxUnavailable") != 0:
                yield f"{label(document)}: maxUnavailable"
            if "replicas" in document["spec"]:
                yield f"{label(document)}: replicas"


@rule
def applications_stay_in_their_project(documents: Sequence[Document]) -> Iterator[str]:
    projects = {p["metadata"]["name"]: p["spec"] for p in of_kind(documents, "AppProject")}
    for application in of_kind(documents, "Application"):
        project = projects.get(application["spec"]["project"])
        if project is None:
            yield f"{label(application)}: project"
            continue
        if application["spec"]["source"]["repoURL"] not in project["sourceRepos"]:
            yield f"{label(application)}: repository"
        if application["spec"]["destination"] not in project["destinations"]:
            yield f"{label(application)}: destination"


@rule
def applications_find_their_namespace(documents: Sequence[Document]) -> Iterator[str]:
    """Nothing says which of several comes first; only an overlay brings the namespace itself."""
    for application in of_kind(documents, "Application"):
        spec = application["spec"]
        brought = spec["source"]["path"].startswith("manifests/overlays/")
        made = "CreateNamespace=true" in spec["syncPolicy"].get("syncOptions", [])
        if spec["destination"]["namespace"] == "yolocore" and not (brought or made):
            yield label(application)
