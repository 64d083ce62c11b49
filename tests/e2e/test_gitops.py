"""The loop that retrains: commit → event → sensor → run → promotion → what the cluster then runs → revert.

Git is a real server; sensor, workflow and deployment are those of the manifests, the run is of the compiled pipeline,
all of them evaluated. What a link of the chain is told comes from the one before: a test gives none of them a word.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pipelines.package import packaged
from pipelines.request import PipelineRequest
from pipelines.submit import read_submission
from tests.gitops.server import FILE, TOKEN, GitServer, git, serve
from tests.manifests import payloads
from tests.manifests.conftest import MANIFESTS, Document, label, render
from tests.manifests.events import triggered
from tests.pipelines.compiled import reached
from tests.serve.finder import INFO, write_serving
from yolocore.component.promotion import catch_up, promote
from yolocore.errors import UsageError
from yolocore.gitops.__main__ import main
from yolocore.lineage import registry
from yolocore.modes.request import read_keys
from yolocore.records import DeployRecord
from yolocore.serve import repository as models
from yolocore.store.objects import ObjectStore

git_server = pytest.fixture(serve, name="git_server")

OVERLAY = "manifests/overlays/cpu"
SOURCE = "manifests/gitops/source/source.env"
DATASET = "sha256:" + "d" * 64
PARAMS = f"pipeline: {{source: '{DATASET}'}}\ntrain: {{epochs: 2}}\n"
SECRETS = {"GIT_TOKEN": TOKEN}


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

    def pod(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Arguments and variables of the pod that a Workflow runs: its template with all that it refers to put in."""
        documents = self.sync()
        workflow = self.workflows[name]
        template = documents[f"WorkflowTemplate/{workflow['spec']['workflowTemplateRef']['name']}"]["spec"]
        (step,) = (each for each in template["templates"] if each["name"] == template["entrypoint"])
        values = {"workflow.name": name}
        for parameter in workflow["spec"]["arguments"]["parameters"]:
            values[f"inputs.parameters.{parameter['name']}"] = parameter["value"]
        args = [re.sub(r"\{\{(.+?)\}\}", lambda match: values[match[1]], arg) for arg in step["container"]["args"]]
        variables = environment(documents, step["container"])
        return expanded(args, variables), variables

    def submit(self, name: str) -> Run:
        """The run that a Workflow's pod submits."""
        words, variables = self.pod(name)
        keys = read_keys(words)
        assert keys.pop("name") == name
        place = keys.pop("registry")
        with pytest.MonkeyPatch.context() as patch:
            for key, value in (variables | SECRETS).items():
                patch.setenv(key, value)
            request = read_submission(**keys)
        spec = next(yaml.safe_load_all(packaged(request.name, place)))
        return Run(request, place, spec)


@dataclass(frozen=True)
class Run:
    """A run of a pipeline, as it was submitted. registry: of its images. spec: as Kubeflow has it."""

    request: PipelineRequest
    registry: str
    spec: Document

    def given(self, task: str) -> dict[str, Any]:
        """The parameters of one of its tasks."""
        _, sources = reached(self.spec, task)
        return {name: self.request.arguments[source] for name, source in sources.items()}


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
    """A cluster that follows the server's repository, whose settings train on a dataset of the store."""
    files = {p.relative_to(MANIFESTS.parent).as_posix(): p.read_text() for p in MANIFESTS.rglob("*") if p.is_file()}
    files[SOURCE] = re.sub("^repository=.*$", f"repository={git_server.url}", files[SOURCE], flags=re.MULTILINE)
    files |= {"data/mine.dvc": "outs: [{md5: 00.dir, path: mine}]\n", "params.yaml": PARAMS}
    git_server.commit(tmp_path / "developer", files)
    return Cluster(git_server, tmp_path / "argocd")


@pytest.fixture
def verified(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What a deploy step leaves: a model in the store that is the champion, and the step's record."""
    monkeypatch.setenv("YOLO_STORE", str(tmp_path / "store"))
    digest = models.write_entry(tmp_path / "verified", "detector", write_serving(tmp_path / "serving.onnx"), INFO)
    ObjectStore(str(tmp_path / "store")).push(tmp_path / "verified" / models.entry_name("detector", digest))
    client = registry.registry()
    registry.promote(client, "detector", registry.register(client, "detector", digest, "triton:///d", {}))
    common = {"key": "", "program": "", "config": {}, "inputs": {}, "views": (), "metrics": {}, "versions": {}}
    record = DeployRecord(
        step="deploy", artifacts={}, timings={}, model_name="detector", served_digest=digest, **common
    )
    (tmp_path / "deployment").mkdir()
    (tmp_path / "deployment" / "record.json").write_text(record.to_json())
    return SimpleNamespace(path=str(tmp_path / "deployment"), digest=digest)


def promotion(folder: Path) -> SimpleNamespace:
    """The artifact in which a task leaves its commit."""
    return SimpleNamespace(path=str(folder / "promotion"), uri=str(folder / "promotion"), metadata={})


def triton(documents: dict[str, Document]) -> Any:
    return documents["Deployment/triton"]["spec"]["template"]["spec"]


def test_the_loop(
    cluster: Cluster, git_server: GitServer, verified: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = git_server.head()
    first = cluster.sync()

    # A change of settings is pushed, and its event delivered twice.
    after = git_server.commit(tmp_path / "developer", {"params.yaml": PARAMS.replace("epochs: 2", "epochs: 3")})
    name = cluster.hear(before, after)
    assert name == f"retraining-push-{after}"
    assert cluster.hear(before, after) == "AlreadyExists"

    # Its run has the settings of that commit, and knows what the cluster follows.
    run = cluster.submit(name)
    arguments = run.request.arguments
    assert (arguments["train_epochs"], arguments["pipeline_source"], arguments["retraining_commit"]) == (
        3,
        DATASET,
        after,
    )
    assert run.spec["pipelineInfo"]["name"] == "retraining"
    assert set(arguments) == set(run.spec["root"]["inputDefinitions"]["parameters"])
    executors = run.spec["deploymentSpec"]["executors"].values()
    images = {executor["container"]["image"] for executor in executors if "container" in executor}
    assert run.registry and all(image.startswith(f"{run.registry}/yolocore-python-") for image in images)
    assert run.given("promote") == {"url": git_server.url, "file": FILE, "branch": "main"}

    # It ends with a model that is better: verified, pushed into the store, the champion. Its last step promotes.
    for key, value in SECRETS.items():
        monkeypatch.setenv(key, value)
    promote(deployment=verified, promotion=promotion(tmp_path), **run.given("promote"))
    promoted = git_server.head()
    assert cluster.hear(after, promoted) == "nothing", "a promotion must not retrain"

    # The cluster follows: another ConfigMap, hence other pods, and nothing else.
    second = cluster.sync()
    changed = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert {name.rpartition("-")[0] if "ConfigMap" in name else name for name in changed} == {
        "ConfigMap/model",
        "Deployment/triton",
    }
    (installer,) = triton(second)["initContainers"]
    (command,) = expanded(installer["args"], environment(second, installer))[1:2]
    assert command == f"digest={verified.digest}"

    # What its pods begin with brings that very model.
    words = [word.replace("/models", str(tmp_path / "pod")) for word in installer["args"]]
    assert main([installer["command"][3], *expanded(words, {"DIGEST": verified.digest})]) == 0
    assert models.pointer_of(tmp_path / "pod", "detector") == models.Pointer(verified.digest, "")

    # And back; the next retraining, which finds no news, leaves it so.
    git(tmp_path / "developer", "pull", "-q", "origin", "main")
    git(tmp_path / "developer", "revert", "--no-edit", promoted)
    git(tmp_path / "developer", "push", "-q", "origin", "HEAD:main")
    assert cluster.sync() == first
    assert cluster.hear(promoted, git_server.head()) == "nothing"
    catch_up(promotion=promotion(tmp_path), **run.given("catch-up"))
    assert cluster.sync() == first


def test_a_promotion_that_failed_is_made_up_for_by_the_next_retraining(
    cluster: Cluster, git_server: GitServer, verified: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = git_server.head()
    pushed = git_server.commit(tmp_path / "developer", {"data/mine.dvc": "outs: [{md5: 11.dir, path: mine}]\n"})
    run = cluster.submit(cluster.hear(before, pushed))
    monkeypatch.setenv("GIT_TOKEN", "expired")
    with pytest.raises(SystemExit):
        promote(deployment=verified, promotion=promotion(tmp_path), **run.given("promote"))
    assert git_server.head() == pushed

    again = git_server.commit(tmp_path / "developer", {"data/mine.dvc": "outs: [{md5: 00.dir, path: mine}]\n"})
    run = cluster.submit(cluster.hear(pushed, again))
    monkeypatch.setenv("GIT_TOKEN", TOKEN)
    catch_up(promotion=promotion(tmp_path), **run.given("catch-up"))
    (installer,) = triton(cluster.sync())["initContainers"]
    assert verified.digest in expanded(installer["args"], environment(cluster.sync(), installer))[1]


def test_a_pointer_to_data_that_no_pod_has_is_refused_when_it_is_submitted(
    cluster: Cluster, git_server: GitServer, tmp_path: Path
) -> None:
    before = git_server.head()
    files = {"data/mine.dvc": "outs: [{md5: 11.dir, path: mine}]\n", "params.yaml": "pipeline: {source: data/mine}\n"}
    after = git_server.commit(tmp_path / "developer", files)
    with pytest.raises(UsageError, match="pipeline_source=data/mine: is a path of a checkout, and pods have none"):
        cluster.submit(cluster.hear(before, after))


def test_a_cluster_that_follows_no_repository_retrains_on_nothing(
    cluster: Cluster, git_server: GitServer, tmp_path: Path
) -> None:
    """What manifests say before anybody has said anything: an event must not train on the form's defaults."""
    git_server.commit(tmp_path / "developer", {SOURCE: (MANIFESTS.parent / SOURCE).read_text()})
    before = git_server.head()
    after = git_server.commit(tmp_path / "developer", {"params.yaml": PARAMS.replace("epochs: 2", "epochs: 3")})
    with pytest.raises(UsageError, match=f"commit={after}: its settings cannot be read, because GIT_URL is empty"):
        cluster.submit(cluster.hear(before, after))
