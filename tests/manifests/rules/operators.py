"""What the operators make of their own kinds: workflows, sensors, rollouts, applications."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tests.manifests.conftest import Document, label
from tests.manifests.rules.table import namespace, of_kind, rule, values

# The namespace that the Argo Workflows of Kubeflow Pipelines looks into: a Workflow elsewhere would just lie there.
WORKFLOWS = "kubeflow"


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
