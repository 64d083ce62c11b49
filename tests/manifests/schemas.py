"""Whether a document has the fields and types of its kind and version, and no others.

Kubernetes' own kinds: kubernetes-validate, which brings their schemas. Others: a folder of JSON schemas made from the
operators' CRDs (YOLO_CRD_SCHEMAS; `make schemas` fetches one). Argo's events and workflows: also hera's models, which
are generated from Argo's own types, because the CRDs of Argo Events say nothing of what is in them.
"""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
from pydantic import ValidationError

from tests.manifests.conftest import ROOT, Document

KUBERNETES = "1.36"
# Whose kinds may be used at all: a typo in a group is no unknown schema, it is an error.
OPERATORS = {
    "argoproj.io/v1alpha1": {
        "Application",
        "AppProject",
        "CronWorkflow",
        "EventBus",
        "EventSource",
        "Sensor",
        "Workflow",
        "WorkflowTemplate",
    },
    "external-secrets.io/v1": {"ExternalSecret"},
    "monitoring.coreos.com/v1": {"PrometheusRule", "ServiceMonitor"},
    "pipelines.kubeflow.org/v2beta1": {"Pipeline", "PipelineVersion"},
    "serving.kserve.io/v1beta1": {"InferenceService"},
    "trainer.kubeflow.org/v1alpha1": {"TrainingRuntime", "TrainJob"},
}
MODELS = {
    "EventSource": "hera.events.models",
    "Sensor": "hera.events.models",
    "CronWorkflow": "hera.workflows.models",
    "Workflow": "hera.workflows.models",
    "WorkflowTemplate": "hera.workflows.models",
}


class NoSchemaError(Exception):
    """The kind is one of ours, and its schema is not on this machine."""


def folders() -> list[Path]:
    """Where schemas of operators' kinds may be: as told, as fetched, and beside the checkout."""
    told = os.environ.get("YOLO_CRD_SCHEMAS")
    return [Path(told)] if told else [ROOT / ".schemas", ROOT.parent / "shared" / "data" / "schemas"]


@cache
def stored(api_version: str, kind: str) -> Any:
    """The schema, under the names that catalogues give; None where there is none."""
    group, _, version = api_version.partition("/")
    names = (f"{kind.lower()}_{group}_{version}.json", f"{group}/{kind.lower()}_{version}.json")
    paths = [folder / name for folder in folders() for name in names]
    return next((json.loads(path.read_text()) for path in paths if path.is_file()), None)


def problems(document: Document) -> list[str]:
    """What is wrong with a document. Raises NoSchemaError where nothing here can tell."""
    api_version, kind = document["apiVersion"], document["kind"]
    if api_version in OPERATORS:
        if kind not in OPERATORS[api_version]:
            return [f"{api_version} {kind}: is no kind that is used here"]
        schema = stored(api_version, kind)
        if schema is None and kind not in MODELS:
            raise NoSchemaError(f"no schema of {api_version} {kind}; fetch them: make schemas")
        found = [error.message for error in jsonschema.Draft202012Validator(schema or {}).iter_errors(document)]
        return found + (_modelled(document) if kind in MODELS else [])
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    except kubernetes_validate.ValidationError as error:
        return [error.message]
    return []


def _modelled(document: Document) -> list[str]:
    """A document goes through the model and must come out as it went in: what is not a field of it gets lost."""
    given = copy.deepcopy(document)
    found = _as_modelled(given["spec"]) if document["kind"] in ("EventSource", "Sensor") else []
    model = getattr(importlib.import_module(MODELS[document["kind"]]), document["kind"])
    if "kind" not in model.model_fields:
        del given["apiVersion"], given["kind"]
    try:
        read = model.model_validate(given)
    except ValidationError as error:
        return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return found + _lost(given, read.model_dump(by_alias=True, exclude_unset=True, mode="json"), "")


def _as_modelled(spec: Document) -> list[str]:
    """Put what Go writes otherwise than its types say (embedded structs, texts that are numbers) as the models have it.

    Returns what is wrong with what is taken out meanwhile.
    """
    found = []
    for name, webhook in spec.get("webhook", {}).items():
        spec["webhook"][name] = {"webhookContext": webhook}
    for queue in spec.get("sqs", {}).values():
        if not isinstance(seconds := queue.pop("waitTimeSeconds"), int) or not 0 <= seconds <= 20:
            found.append("sqs: waitTimeSeconds")
        queue["waitTimeSeconds"] = str(seconds)
    for trigger in spec.get("triggers", []):
        made = trigger["template"]["k8s"]["source"].pop("resource")  # any document at all
        found += [f"{made['kind']}: {problem}" for problem in problems(made)]
        strategy = trigger.get("retryStrategy", {})
        if not re.fullmatch(r"\d+(ms|s|m)", str(strategy.pop("duration", "1s"))):
            found.append("retryStrategy: duration")
        if float(strategy.pop("factor", 1)) < 1:
            found.append("retryStrategy: factor")
    return found


def _lost(given: Any, modelled: Any, path: str) -> list[str]:
    if isinstance(given, dict) and isinstance(modelled, dict):
        gone = [f"{path}.{key}: is no field" for key in given.keys() - modelled.keys()]
        return gone + [
            line for key in given.keys() & modelled.keys() for line in _lost(given[key], modelled[key], f"{path}.{key}")
        ]
    if isinstance(given, list) and isinstance(modelled, list):
        return [
            line for i, (a, b) in enumerate(zip(given, modelled, strict=True)) for line in _lost(a, b, f"{path}.{i}")
        ]
    return [] if given == modelled else [f"{path}: {given!r} is read as {modelled!r}"]
