"""The schemas of operators' kinds, out of the definitions that their own releases bring.

    python -m tests.manifests.crds [FOLDER]

writes FOLDER/GROUP/KIND_VERSION.json (default: .schemas), as strict as an API server that prunes nothing.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.conftest import ROOT

GITHUB = "https://raw.githubusercontent.com"
# (repository, release, folder): files. Releases are those that docs/gitops.md installs. Of Argo's workflows, event
# sources and sensors hera has models that say more (schemas.py).
RELEASES = {
    ("argoproj/argo-cd", "v3.5.8", "manifests/crds"): ["application-crd", "appproject-crd"],
    ("argoproj/argo-events", "v1.9.10", "manifests/base/crds"): ["argoproj.io_eventbus"],
    ("external-secrets/external-secrets", "v2.9.0", "config/crds/bases"): ["external-secrets.io_externalsecrets"],
    ("kserve/kserve", "v0.16.0", "config/crd/full"): ["serving.kserve.io_inferenceservices"],
    ("kubeflow/pipelines", "2.17.0", "manifests/kustomize/base/crds"): [
        "pipelines.kubeflow.org_pipelines",
        "pipelines.kubeflow.org_pipelineversions",
    ],
    ("kubeflow/trainer", "v2.1.0", "manifests/base/crds"): [
        "trainer.kubeflow.org_trainingruntimes",
        "trainer.kubeflow.org_trainjobs",
    ],
    ("prometheus-operator/prometheus-operator", "v0.95.1", "example/prometheus-operator-crd"): [
        "monitoring.coreos.com_prometheusrules",
        "monitoring.coreos.com_servicemonitors",
    ],
}


def urls() -> Iterator[str]:
    for (repository, release, folder), files in RELEASES.items():
        yield from (f"{GITHUB}/{repository}/{release}/{folder}/{file}.yaml" for file in files)


def fetch(sources: Iterable[str], folder: Path) -> int:
    """Write the schemas of all definitions at these URLs; returns how many."""
    count = 0
    for source in sources:
        try:
            with urllib.request.urlopen(source, timeout=60) as answer:
                definitions = list(yaml.safe_load_all(answer.read()))
        except OSError as error:
            sys.exit(f"make schemas: {source}: {error}")
        for name, schema in (each for definition in definitions for each in schemas(definition)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(schema), encoding="utf-8")
            count += 1
    return count


def schemas(definition: Any) -> Iterator[tuple[str, Any]]:
    """(file, schema) of each version of a CustomResourceDefinition."""
    group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"].lower()
    for version in definition["spec"]["versions"]:
        yield f"{group}/{kind}_{version['name']}.json", strict(version["schema"]["openAPIV3Schema"])


def strict(schema: Any) -> Any:
    """A JSON schema that allows no field which the definition does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # Below `properties` keys are names of fields, whatever they are called.
    made = {
        key: {name: strict(each) for name, each in value.items()} if key == "properties" else strict(value)
        for key, value in schema.items()
        if not (key == "type" and schema.get("x-kubernetes-int-or-string"))
    }
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    open_ended = "additionalProperties" in made or made.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(made.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
    if made.pop("nullable", False) and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".schemas"
    print(f"{fetch(urls(), place)} schemas: {place}")
