"""Write the pipelines for people and clusters that have their images in a registry.

    PIPELINE_GPUS=1 python -m pipelines.package registry=registry.example/team out=packages

leaves, for each pipeline, NAME.yaml to be uploaded in Kubeflow's UI, and resources/NAME.yaml, which a cluster whose
Kubeflow keeps pipelines as resources follows from git (manifests/gitops/pipelines). PIPELINE_GPUS: how many the steps
that run PyTorch ask for; none where it is not set. PIPELINE_NODES: how many train together; one where it is not set.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

import yolocore
from pipelines import PIPELINES
from pipelines.kubernetes import COMPILED_ANEW
from yolocore.errors import UsageError
from yolocore.modes.request import read_keys
from yolocore.store import bytes_digest, short, storage_errors
from yolocore.views.ending import exit_code

COMPILED = Path(__file__).parent / "compiled"
API = "pipelines.kubeflow.org/v2beta1"


def main(words: Sequence[str]) -> int:
    """Write with 'key=value' words; returns the exit code."""
    return exit_code("package", lambda: write(**_known(read_keys(words))))


def write(registry: str = "", out: str = "packages") -> None:
    """registry: where the images were pushed to; empty: as they are called. out: folder.

    Raises UsageError for a place that is no folder, StorageError.
    """
    folder = Path(out)
    if any(place.is_file() for place in (folder, *folder.parents)):
        raise UsageError(f"out={out}: is a file, or below one; give a folder")
    with storage_errors(folder):
        (folder / "resources").mkdir(parents=True, exist_ok=True)
        for name in PIPELINES:
            (folder / f"{name}.yaml").write_text(packaged(name, registry), encoding="utf-8")
            (folder / "resources" / f"{name}.yaml").write_text(resources(name, registry), encoding="utf-8")
    print(f"{len(PIPELINES)} pipelines: {folder}")


def compiled(name: str) -> str:
    """The text that Kubeflow's compiler makes of a pipeline."""
    from kfp import compiler

    pipeline = getattr(importlib.import_module(f"pipelines.{name}"), name)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(package))
        return package.read_text(encoding="utf-8")


def documents(name: str, registry: str) -> list[dict[str, Any]]:
    """A compiled pipeline, and behind it what it says to platforms.

    Kubeflow's cache goes by the names of images: their tags are versions, so another version is another name.
    """
    text = compiled(name) if COMPILED_ANEW else (COMPILED / f"{name}.yaml").read_text(encoding="utf-8")
    spec, *platforms = yaml.safe_load_all(text)
    if registry:
        for executor in spec["deploymentSpec"]["executors"].values():
            if "container" in executor:  # an importer has none
                executor["container"]["image"] = f"{registry.rstrip('/')}/{executor['container']['image']}"
    return [spec, *platforms]


def packaged(name: str, registry: str) -> str:
    """The text that Kubeflow's UI takes."""
    return yaml.safe_dump_all(documents(name, registry), allow_unicode=True)


def resources(name: str, registry: str) -> str:
    """A Pipeline and its version, whose name is made of what it does: another pipeline is another version."""
    spec, *platforms = documents(name, registry)
    called = spec["pipelineInfo"]["name"]
    title, _, plan = spec["pipelineInfo"]["description"].partition("\n")
    version = f"{called}-{short(bytes_digest(packaged(name, registry).encode()))}"
    pipeline = {
        "apiVersion": API,
        "kind": "Pipeline",
        "metadata": {"name": called},
        "spec": {"displayName": called, "description": title},
    }
    made: dict[str, Any] = {
        "pipelineName": called,
        "displayName": version,
        "description": plan.strip(),
        "tags": {"yolocore": yolocore.__version__},
        "pipelineSpec": spec,
    }
    if platforms:
        made["platformSpec"] = platforms[0]
    versioned = {"apiVersion": API, "kind": "PipelineVersion", "metadata": {"name": version}, "spec": made}
    return yaml.safe_dump_all([pipeline, versioned], allow_unicode=True)


def _known(keys: dict[str, str]) -> dict[str, str]:
    for key in keys:
        if key not in ("registry", "out"):
            raise UsageError(f"unknown key {key!r}; give registry= or out=")
    return keys


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
