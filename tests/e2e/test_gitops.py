"""The loop that retrains: commit → event → sensor → run → promotion → what the cluster then runs → revert.

Git is a real server; the sensor, the workflow and the deployment are the ones of the manifests, evaluated.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.package import packaged
from pipelines.submit import read_submission
from tests.gitops.server import FILE, TOKEN, GitServer, git, serve
from tests.manifests import payloads
from tests.manifests.conftest import MANIFESTS, Document, label, render
from tests.manifests.events import triggered
from tests.serve.finder import INFO, write_serving
from yolocore.gitops.__main__ import main
from yolocore.gitops.promote import promote
from yolocore.gitops.remote import Bot
from yolocore.modes.request import read_keys
from yolocore.serve import repository as models
from yolocore.store.objects import ObjectStore

git_server = pytest.fixture(serve, name="git_server")

OVERLAY = "manifests/overlays/cpu"
BOT = Bot("Promotion", "bot@example.com", "bot", TOKEN)


class Cluster:
    """What of Argo CD and Argo Events matters here: it has what a commit says, and refuses a name that is taken."""

    def __init__(self, server: GitServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.workflows: dict[str, Document] = {}

    def sync(self, path: str = OVERLAY) -> dict[str, Document]:
        """The documents of the branch's head, by kind and name."""
        shutil.rmtree(self.folder, ignore_errors=True)
        git(self.folder.parent, "clone", "-q", self.server.url, self.folder.name)
        return {label(document): document for document in render(self.folder / path)}

    def hear(self, before: str, after: str) -> str:
        """A push arrives; returns what becomes of it."""
        sensor = self.sync("manifests/gitops/events")["Sensor/retraining"]
        made = triggered(sensor, "push", payloads.push(self.server.bare, before, after))
        if made is None:
            return "nothing"
        name = made["metadata"]["name"]
        if name in self.workflows:
            return "AlreadyExists"
        self.workflows[name] = made
        return str(name)

    def words(self, name: str) -> list[str]:
        """The arguments of the pod that a Workflow runs: its template with its parameters and environment put in."""
        documents = self.sync()
        workflow = self.workflows[name]
        template = documents[f"WorkflowTemplate/{workflow['spec']['workflowTemplateRef']['name']}"]["spec"]
        (step,) = (each for each in template["templates"] if each["name"] == template["entrypoint"])
        values = {"workflow.name": name}
        for parameter in workflow["spec"]["arguments"]["parameters"]:
            values[f"inputs.parameters.{parameter['name']}"] = parameter["value"]
        args = [re.sub(r"\{\{(.+?)\}\}", lambda match: values[match[1]], arg) for arg in step["container"]["args"]]
        return expanded(args, environment(documents, step["container"]))


def environment(documents: dict[str, Document], container: Document) -> dict[str, str]:
    """What a container's variables are, but for secrets."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= documents[f"ConfigMap/{source['configMapRef']['name']}"]["data"]
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("configMapKeyRef")
        if reference:
            found[variable["name"]] = documents[f"ConfigMap/{reference['name']}"]["data"][reference["key"]]
    return found


def expanded(args: list[str], variables: dict[str, str]) -> list[str]:
    return [re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], arg) for arg in args]


@pytest.fixture
def cluster(git_server: GitServer, tmp_path: Path) -> Cluster:
    files = {p.relative_to(MANIFESTS.parent).as_posix(): p.read_text() for p in MANIFESTS.rglob("*") if p.is_file()}
    git_server.commit(tmp_path / "developer", files | {"data/mine.dvc": "outs: [{md5: 00.dir, path: mine}]\n"})
    return Cluster(git_server, tmp_path / "argocd")


def pod(documents: dict[str, Document]) -> Any:
    return documents["Deployment/triton"]["spec"]["template"]["spec"]


def test_the_loop(cluster: Cluster, git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = git_server.head()
    first = cluster.sync()

    # A change of data is pushed, and its event delivered twice.
    after = git_server.commit(tmp_path / "developer", {"data/mine.dvc": "outs: [{md5: 11.dir, path: mine}]\n"})
    name = cluster.hear(before, after)
    assert name == f"retraining-push-{after}"
    assert cluster.hear(before, after) == "AlreadyExists"
    keys = read_keys(cluster.words(name))
    assert keys == {
        "pipeline": "retraining",
        "name": name,
        "registry": "registry.example.com/vision",
        "commit": after,
        "dataset": "",
        "promotion_url": "",
        "promotion_file": FILE,
    }

    # The run ends with a model that is better: verified, pushed into the store, promoted.
    store = ObjectStore(str(tmp_path / "store"))
    digest = models.write_entry(tmp_path / "verified", "detector", write_serving(tmp_path / "serving.onnx"), INFO)
    store.push(tmp_path / "verified" / models.entry_name("detector", digest))
    promotion = promote(git_server.url, "main", FILE, digest, BOT)
    assert promotion.commit == git_server.head()
    assert cluster.hear(after, promotion.commit) == "nothing", "a promotion must not retrain"

    # The cluster follows: another ConfigMap, hence other pods, and nothing else.
    second = cluster.sync()
    changed = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert {name.rpartition("-")[0] if "ConfigMap" in name else name for name in changed} == {
        "ConfigMap/model",
        "Deployment/triton",
    }
    (installer,) = pod(second)["initContainers"]
    (command,) = expanded(installer["args"], environment(second, installer))[1:2]
    assert command == f"digest={digest}"

    # What its pods begin with brings that very model.
    monkeypatch.setenv("YOLO_STORE", store.place)
    words = [word.replace("/models", str(tmp_path / "pod")) for word in installer["args"]]
    assert main([installer["command"][3], *expanded(words, {"DIGEST": digest})]) == 0
    assert models.pointer_of(tmp_path / "pod", "detector") == models.Pointer(digest, "")

    # And back.
    git(tmp_path / "developer", "pull", "-q", "origin", "main")
    git(tmp_path / "developer", "revert", "--no-edit", promotion.commit)
    git(tmp_path / "developer", "push", "-q", "origin", "HEAD:main")
    assert cluster.sync() == first
    assert cluster.hear(promotion.commit, git_server.head()) == "nothing"


def test_the_run_that_is_submitted_is_a_compiled_one(
    cluster: Cluster, git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = git_server.head()
    after = git_server.commit(tmp_path / "developer", {"params.yaml": "train: {epochs: 2}\n"})
    keys = read_keys(cluster.words(cluster.hear(before, after)))
    registry = keys.pop("registry")
    assert keys.pop("name").endswith(after)
    monkeypatch.setenv("GIT_URL", git_server.url)
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    request = read_submission(**keys)
    assert request.arguments["train_epochs"] == 2, "the settings are those of the commit"
    assert after in request.arguments.values()
    (spec, *_) = yaml.safe_load_all(packaged(request.name, registry))
    assert spec["pipelineInfo"]["name"] == "retraining"
    assert set(request.arguments) <= set(spec["root"]["inputDefinitions"]["parameters"])
    images = {e["container"]["image"] for e in spec["deploymentSpec"]["executors"].values() if "container" in e}
    assert all(image.startswith(f"{registry}/yolocore-python-") for image in images)
