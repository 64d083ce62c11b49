"""The real server, started with the very arguments of the Deployments, answers their probes as they expect."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import free_endpoint
from tests.manifests.conftest import Document, label
from tests.runtimes.bright import picture
from tests.serve.finder import INFO, write_serving
from yolocore.errors import ServiceError
from yolocore.runtimes.triton import TritonDetector
from yolocore.serve import repository as models
from yolocore.serve.control import Control, admin_key
from yolocore.serve.environment import ensure_environment
from yolocore.serve.install import install
from yolocore.serve.server import Endpoint, attach
from yolocore.store.objects import ObjectStore

pytestmark = pytest.mark.slow


class Pod:
    """A Deployment's server on this machine: its arguments, with other paths, ports and the local backends."""

    def __init__(self, deployment: Document, repository: Path, mount: str) -> None:
        (self.container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.endpoint = free_endpoint()
        environment = ensure_environment()
        ports = dict(zip(("http-port", "grpc-port", "metrics-port"), range(self.endpoint.port, 2**16), strict=False))
        ours = [f"--{name}={port}" for name, port in ports.items()]
        ours += [f"--{name.replace('port', 'address')}=127.0.0.1" for name in ports]
        ours += [f"--backend-directory={environment.backends}", f"--cache-directory={environment.server / 'caches'}"]
        variables = {**os.environ, **environment.variables(), "ADMIN_KEY": "k3y"}
        variables["PATH"] = f"{environment.server / 'bin'}:{variables['PATH']}"
        args = [arg.replace(mount, str(repository)).replace("$(ADMIN_KEY)", "k3y") for arg in self.container["args"]]
        if "command" in self.container:  # a shell's only line, whose last command takes more
            command = [*self.container["command"], f"{args[0]} {' '.join(ours)} --allow-gpu-metrics=false"]
        else:
            command = ["tritonserver", *args, *ours, "--allow-gpu-metrics=false"]
        self.process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self, path: str) -> int:
        """Status of a request; 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{self.endpoint.address}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def probe(self, name: str) -> bool:
        return self.answers(self.container[f"{name}Probe"]["httpGet"]["path"]) == 200

    def metrics(self) -> set[tuple[str, str]]:
        """(name, model) of all that it counts."""
        host, port = self.endpoint.address.split(":")
        with urllib.request.urlopen(f"http://{host}:{int(port) + 2}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {(line.partition("{")[0], (re.findall('model="(.*?)"', line) or [""])[0]) for line in lines}

    def started(self) -> bool:
        """Wait as the kubelet does: until the startup probe succeeds, or the server ends."""
        probe = self.container["startupProbe"]
        for _ in range(int(probe["failureThreshold"] * probe["periodSeconds"] / 0.2)):
            if self.process.poll() is not None:
                return False
            if self.probe("startup"):
                return True
            time.sleep(0.2)
        return False


@contextlib.contextmanager
def running(deployment: Document, repository: Path, mount: str = "/models") -> Iterator[Pod]:
    pod = Pod(deployment, repository, mount)
    try:
        yield pod
    finally:
        pod.process.terminate()
        pod.process.wait(60)


@pytest.fixture
def deployments(rendered: Mapping[str, list[Document]], triton_home: None) -> dict[str, Document]:
    return {label(document): document for document in rendered["overlays/cpu"]}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The repository of a pod whose init container has ended."""
    store = ObjectStore(str(tmp_path / "store"))
    digest = models.write_entry(tmp_path / "verified", "detector", write_serving(tmp_path / "serving.onnx"), INFO)
    store.push(tmp_path / "verified" / models.entry_name("detector", digest))
    install(store, "detector", digest, tmp_path / "pod")
    return tmp_path / "pod"


def test_the_promoted_model_serves_and_nothing_else_can_be_loaded(deployments, installed) -> None:
    with running(deployments["Deployment/triton"], installed) as pod:
        assert pod.started() and pod.probe("readiness") and pod.probe("liveness")
        assert pod.answers("/v2/models/detector-jpeg/ready") == 200
        with TritonDetector(pod.endpoint.url("detector")) as detector:
            (found,) = detector.detect(
                [picture((48, 64), (8, 8, 40, 32))], conf=INFO.conf, iou=INFO.iou, max_det=INFO.max_det
            )
            assert len(found) == 1
        for key in ("k3y", "wrong"):
            with contextlib.closing(Control(pod.endpoint.address, key, 10)) as control, pytest.raises(ServiceError):
                control.unload("detector")
        assert pod.probe("readiness")


def test_alerts_and_dashboard_name_metrics_that_the_server_has(deployments, installed, rendered) -> None:
    watched = [document for document in rendered["monitored"] if document["kind"] == "PrometheusRule"]
    watched += [document for document in rendered["monitored"] if "yolocore-dashboard" in label(document)]
    assert len(watched) == 2
    named = set(re.findall(r"\bnv_\w+", str(watched))) - {"nv_gpu_utilization"}  # there is no GPU here
    with running(deployments["Deployment/triton"], installed) as pod:
        assert pod.started()
        metrics = pod.metrics()
    assert named <= {name for name, _ in metrics}
    # A model counts from its start on: that it does not is what the alert NoChampion goes by.
    assert ("nv_inference_request_success", "detector") in metrics
    assert any(re.fullmatch("detector-[0-9a-f]{12}", model) for _, model in metrics), (
        "the entry, whose queue is watched"
    )


def test_a_pod_whose_model_does_not_load_ends_and_is_never_ready(deployments, installed) -> None:
    (model,) = installed.glob("detector-[0-9a-f]*/1/model.onnx")
    model.write_bytes(b"broken")
    with running(deployments["Deployment/triton"], installed) as pod:
        assert not pod.started()
        assert pod.process.wait(30) != 0


def test_before_the_first_promotion_pods_run_and_are_not_ready(deployments, tmp_path) -> None:
    (tmp_path / "pod").mkdir()
    with running(deployments["Deployment/triton"], tmp_path / "pod") as pod:
        assert pod.started() and pod.probe("liveness")
        assert not pod.probe("readiness"), "no client is sent there"
        assert not any(model == "detector" for _, model in pod.metrics())


def test_the_candidates_server_lets_the_deploy_step_in(deployments, tmp_path) -> None:
    repository = tmp_path / "serving"
    admin_key(repository)  # what its init container does
    with running(deployments["Deployment/triton-candidate"], repository, "/serving") as pod:
        assert pod.started() and pod.probe("readiness")
        digest = models.write_entry(repository, "detector", write_serving(tmp_path / "serving.onnx"), INFO)
        models.point(repository, "detector", models.Pointer(digest, ""))
        control = attach(repository, Endpoint("127.0.0.1", pod.endpoint.port))
        assert control is not None
        with contextlib.closing(control):
            control.load("detector")
            (repository / "broken" / "1").mkdir(parents=True)
            (repository / "broken" / "config.pbtxt").write_text('backend: "onnxruntime"\n')
            with pytest.raises(ServiceError):
                control.load("broken")
        assert pod.probe("readiness"), "a refused candidate must not take the server out of service"
        assert pod.answers("/v2/models/detector/ready") == 200
