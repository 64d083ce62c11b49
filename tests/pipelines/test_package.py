"""Pipelines for upload and for GitOps."""

from __future__ import annotations

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines import PIPELINES
from pipelines.package import main, resources


def test_every_pipeline_has_its_images_in_the_registry(tmp_path):
    assert main(["registry=registry.example/team", f"out={tmp_path}"]) == 0
    for name in PIPELINES:
        spec, platform = yaml.safe_load_all((tmp_path / f"{name}.yaml").read_text())
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        executors = spec["deploymentSpec"]["executors"].values()
        images = [executor["container"]["image"] for executor in executors if "container" in executor]
        assert images and all(image.startswith("registry.example/team/yolocore-python-") for image in images)

        pipeline, version = yaml.safe_load_all((tmp_path / "resources" / f"{name}.yaml").read_text())
        assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == spec["pipelineInfo"]["name"]
        assert version["spec"]["pipelineSpec"] == spec
        assert version["spec"]["platformSpec"] == platform


def test_another_registry_is_another_version():
    names = [list(yaml.safe_load_all(resources("training", each)))[1]["metadata"]["name"] for each in ("", "a", "a/")]
    assert names[0] != names[1] == names[2]


@pytest.mark.parametrize(
    ("word", "code", "line"),
    [
        pytest.param("registri=x", 2, "unknown key 'registri'", id="misspelt"),
        pytest.param(f"out={__file__}/packages", 2, "is a file, or below one", id="no folder"),
    ],
)
def test_a_mistake_is_one_line(word, code, line, capsys):
    assert main([word]) == code
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
