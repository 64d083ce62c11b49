"""What the compiled pipelines ask Kubernetes for."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines import PIPELINES
from tests.pipelines.compiled import documents

SPEC, PLATFORM = documents("training")
DAGS = [SPEC["root"]["dag"], *(c["dag"] for c in SPEC["components"].values() if "dag" in c)]
STEPS = {
    name: task
    for dag in DAGS
    for name, task in dag["tasks"].items()
    if "executorLabel" in SPEC["components"][task["componentRef"]["name"]]
}
HOUR = 3600


def container(step: str) -> dict[str, Any]:
    return SPEC["deploymentSpec"]["executors"][f"exec-{step}"]["container"]


def platform(step: str) -> dict[str, Any]:
    return PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{step}"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_reserves_little_and_is_bounded(step):
    """A cluster of one small node can begin every step, and none holds a node for ever."""
    resources = container(step)["resources"]
    assert 0 < resources["cpuRequest"] <= 1 < resources["cpuLimit"]
    assert 0 < resources["memoryRequest"] <= 2.2 < resources["memoryLimit"]  # GB
    assert "accelerator" not in resources
    assert HOUR <= int(platform(step)["activeDeadlineSeconds"]) <= 72 * HOUR


@pytest.mark.parametrize("step", STEPS)
def test_a_step_knows_its_run(step):
    (variable,) = platform(step)["fieldPathAsEnv"]
    assert variable["name"] == "YOLO_PIPELINE"


@pytest.mark.parametrize("step", STEPS)
def test_only_what_has_to_happen_is_never_taken_from_the_cache(step):
    cached = STEPS[step].get("cachingOptions", {}).get("enableCache", False)
    assert cached == (step not in ("benchmark", "gate", "deploy", "promote", "conclude"))


@pytest.mark.parametrize("step", STEPS)
def test_a_step_finds_its_servers_where_there_are_some(step):
    (services,) = platform(step)["configMapAsEnv"]
    assert services["optional"]
    assert "YOLO_STORE" in {each["envVar"] for each in services["keyToEnv"]}
    secrets = {each["secretName"]: each for each in platform(step)["secretAsEnv"]}
    assert set(secrets) == ({"s3", "git"} if step == "promote" else {"s3"})
    assert all(each["optional"] for each in secrets.values())


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_tried_again(step):
    assert STEPS[step]["retryPolicy"]["maxRetryCount"] == 3


@pytest.mark.parametrize("step", ["gate", "deploy"])
def test_what_serves_is_where_the_candidates_server_reads(step):
    (mount,) = platform(step)["pvcMount"]
    assert mount["mountPath"] == "/yolo/serving"


def test_training_has_shared_memory():
    (mount,) = platform("train")["emptyDirMounts"]
    assert (mount["mountPath"], mount["medium"]) == ("/dev/shm", "Memory")


@pytest.mark.parametrize("name", PIPELINES)
def test_no_step_of_any_pipeline_runs_as_root(name):
    spec, platform = documents(name)
    containers = [key for key, each in spec["deploymentSpec"]["executors"].items() if "container" in each]
    places = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert "exec-conclude" in containers
    for key in containers:
        assert places[key].get("securityContext") == {"runAsNonRoot": True}, key
