"""Pipelines for upload and for GitOps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines import PIPELINES
from pipelines.package import main, resources
from tests.pipelines.compiled import reached
from yolocore.component.trainjob import TrainJobInputs


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


def test_with_gpus_those_steps_ask_for_them_that_run_pytorch(tmp_path):
    """Decided when a pipeline is compiled, hence in a process of its own."""
    words = [sys.executable, "-m", "pipelines.package", f"out={tmp_path}"]
    subprocess.run(words, env={**os.environ, "PIPELINE_GPUS": "2"}, check=True)
    spec, platform = yaml.safe_load_all((tmp_path / "training.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    places = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    asking = {
        name for name, each in executors.items() if "accelerator" in each.get("container", {}).get("resources", {})
    }
    assert asking == {"exec-train", "exec-val"}
    for name in asking:
        accelerator = executors[name]["container"]["resources"]["accelerator"]
        assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "2")
        (toleration,) = places[name]["tolerations"]
        assert toleration["key"] == "nvidia.com/gpu"
        assert places[name]["nodeSelector"]["labels"] == {"nvidia.com/gpu.present": "true"}


@pytest.mark.parametrize(("gpus", "processes"), [("", 1), ("4", 4)], ids=["without GPUs", "with GPUs"])
def test_on_several_nodes_a_light_step_waits_for_them(tmp_path, gpus, processes):
    words = [sys.executable, "-m", "pipelines.package", f"out={tmp_path}"]
    subprocess.run(words, env={**os.environ, "PIPELINE_NODES": "3", "PIPELINE_GPUS": gpus}, check=True)
    for name in ("training", "retraining"):
        spec, platform = yaml.safe_load_all((tmp_path / f"{name}.yaml").read_text())
        executors = spec["deploymentSpec"]["executors"]
        assert "exec-train" not in executors
        resources = executors["exec-train-together"]["container"]["resources"]
        assert resources["cpuRequest"] < 1 and "accelerator" not in resources, "it only waits"
        given = reached(spec, "train-together")[1]
        assert given["epochs"] == "train_epochs"
        form = spec["root"]["inputDefinitions"]["parameters"]
        asked = {name: form[given[name]].get("defaultValue") for name in TrainJobInputs.model_fields}
        assert asked == {
            "nodes": 3,
            "processes": processes,
            "gpus": int(gpus or 0),
            "namespace": "yolocore",
            "runtime": "yolocore",
            "queue": "",
        }
        places = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        assert int(places["exec-train-together"]["activeDeadlineSeconds"]) == 72 * 3600


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
