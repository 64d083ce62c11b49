"""The manifests as a cluster gets them: rendered by kustomize."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
# Every folder that is applied as it is.
RENDERED = (
    "overlays/local",
    "overlays/cpu",
    "overlays/gpu",
    "candidate",
    "examples/trainjob",
    "gitops",
    "gitops/apps",
    "gitops/events",
    "gitops/pipelines",
)
# Components that no folder above has, each put into one that it fits.
VARIANTS = {
    "kserve": ("overlays/cpu", ["components/kserve"]),
    "kserve-monitored": ("overlays/cpu", ["components/kserve", "components/monitoring"]),
    "schedule": ("overlays/cpu", ["components/schedule"]),
    "monitored": ("overlays/cpu", ["components/monitoring", "components/queue-autoscaling"]),
    "datasets": ("overlays/local", ["components/datasets"]),
    "datasets-sqs": ("overlays/cpu", ["components/datasets-sqs"]),
    "vault": ("overlays/local", ["components/external-secrets"]),
    "trainer": ("overlays/local", ["components/training"]),
    "private": ("overlays/gpu", ["components/pull-secret"]),
    "queued": ("examples/trainjob", ["components/kueue"]),
    "followed": ("gitops/apps", ["gitops/apps/pipelines"]),
}


class Loader(yaml.SafeLoader):
    """A key that comes twice is an error: the last one would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key comes twice among {keys}"
        return super().construct_mapping(node, deep)


def kustomize(folder: Path) -> str:
    """What `kubectl kustomize` says to a folder, by the kubectl of this environment."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(folder: Path) -> list[Document]:
    return list(yaml.load_all(kustomize(folder), Loader))


def combine(manifests: Path, name: str, base: str, components: Sequence[str]) -> Path:
    """An overlay of a copy of the manifests once more, with more components; returns its folder."""
    folder = Path(shutil.copytree(manifests / base, (manifests / base).with_name(name)))
    path = folder / "kustomization.yaml"
    kustomization = yaml.load(path.read_text(), Loader)
    own = kustomization.get("components", [])
    at = own.index("../source") if "../source" in own else len(own)
    kustomization["components"] = [
        *own[:at],
        *(os.path.relpath(manifests / component, folder) for component in components),
        *own[at:],
    ]
    path.write_text(yaml.safe_dump(kustomization))
    return folder


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Document]]:
    """The documents of every folder that is applied, and of every component, by name."""
    copy = Path(shutil.copytree(MANIFESTS, tmp_path_factory.mktemp("copy") / "manifests"))
    combined = {name: combine(copy, name, *of) for name, of in VARIANTS.items()}
    return {name: render(MANIFESTS / name) for name in RENDERED} | {n: render(f) for n, f in combined.items()}


def label(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_specs(document: Document) -> Iterator[tuple[str, Document, Document]]:
    """(path, the pod's metadata, its specification) of every pod that a document leads to, however deep it lies."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Document, Document]]:
        if isinstance(value, dict):
            inner = value.get("spec")
            if isinstance(inner, dict) and isinstance(inner.get("containers"), list):
                yield f"{path}.spec", value.get("metadata", {}), inner
            for key, item in value.items():
                yield from walk(item, f"{path}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, f"{path}.{index}")

    spec = document.get("spec") or {}
    match document["kind"]:
        case "InferenceService":
            yield "spec.predictor", {"labels": spec["predictor"].get("labels", {})}, spec["predictor"]
        case "WorkflowTemplate":
            for template in spec["templates"]:
                pod = {**spec, "containers": [{"name": "main", **template["container"]}]}
                yield f"spec.templates.{template['name']}", spec.get("podMetadata", {}), pod
        case "EventSource" | "Sensor":
            template = spec["template"]
            yield "spec.template", template.get("metadata", {}), {**template, "containers": [template["container"]]}
        case "EventBus":
            bus = spec["jetstream"]
            parts = ("containerTemplate", "reloaderContainerTemplate", "metricsContainerTemplate")
            yield (
                "spec.jetstream",
                bus.get("metadata", {}),
                {**bus, "containers": [bus.get(part, {}) for part in parts]},
            )
        case _:
            yield from walk(document, "")


def containers(spec: Document) -> list[Document]:
    return [*spec.get("initContainers", []), *spec["containers"]]
