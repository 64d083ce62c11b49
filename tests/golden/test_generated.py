"""What is generated is committed, and is what would be generated now."""

import importlib
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines import generate

ROOT = Path(__file__).resolve().parents[2]
COMPILED = sorted((ROOT / "pipelines/compiled").glob("*.yaml"))


@pytest.fixture(scope="module")
def fresh():
    return {**generate.components(), **generate.compiled(), **generate.followed()}


def test_no_generated_file_is_stale(fresh):
    stale = [str(path.relative_to(ROOT)) for path, text in fresh.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run `make compile`"


def test_nothing_generated_is_left_over(fresh):
    patterns = ("*/component.py", "*/README.md", "train_together.py")
    kept = {*COMPILED, *(path for pattern in patterns for path in (ROOT / "components").glob(pattern))}
    kept |= {path for path in (ROOT / "manifests/gitops/pipelines").glob("*.yaml") if path.stem != "kustomization"}
    assert kept == set(fresh)


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_a_compiled_pipeline_is_a_valid_spec(path):
    spec, *platforms = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    for platform in platforms:
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_no_parameter_has_a_name_that_go_reads_as_a_switch(path):
    spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    definitions = [spec["root"]["inputDefinitions"], *(c["inputDefinitions"] for c in spec["components"].values())]
    names = {name.lower() for inputs in definitions for name in inputs.get("parameters", {})}
    assert names.isdisjoint({"n", "y", "no", "yes", "on", "off", "true", "false"})
    assert names


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_every_field_of_the_form_is_described(path):
    spec = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    undescribed = [n for n, p in spec["root"]["inputDefinitions"]["parameters"].items() if not p.get("description")]
    assert not undescribed


@pytest.mark.parametrize("mode", generate.WIRING)
def test_a_component_runs_in_its_modes_own_image(mode):
    component = getattr(importlib.import_module(f"components.{mode}.component"), mode)
    container = component.component_spec.implementation.container
    assert container.image.partition(":")[0] == f"yolocore-python-{generate.WIRING[mode].image or mode}"
    assert not any("pip install" in part for part in container.command)
