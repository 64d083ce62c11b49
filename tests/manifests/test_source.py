"""What the cluster follows is said once, in gitops/source/source.env: another word there is another word everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.manifests import payloads
from tests.manifests.conftest import MANIFESTS, Document, label, render
from tests.manifests.events import triggered
from tests.manifests.rules import of_kind

PIPELINES = "deployed/resources"
REPOSITORY, BRANCH, OVERLAY = "https://forge.example.com/team/detector.git", "release/1", "manifests/overlays/gpu"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Document]]:
    """The documents of a cluster that follows another repository, branch and overlay."""
    copy = Path(shutil.copytree(MANIFESTS, tmp_path_factory.mktemp("moved") / "manifests"))
    env = copy / "gitops" / "source" / "source.env"
    env.write_text(f"repository={REPOSITORY}\nbranch={BRANCH}\noverlay={OVERLAY}\npipelines={PIPELINES}\n")
    apps = copy / "gitops" / "apps" / "kustomization.yaml"
    apps.write_text(apps.read_text().replace("components: [", "components: [pipelines, "))
    return {name: render(copy / name) for name in ("gitops", "gitops/apps", "gitops/events", "overlays/gpu")}


def test_argo_cd_follows_it(moved: Mapping[str, list[Document]]) -> None:
    applications = [*of_kind(moved["gitops"], "Application"), *of_kind(moved["gitops/apps"], "Application")]
    paths = {}
    for application in applications:
        source = application["spec"]["source"]
        assert (source["repoURL"], source["targetRevision"]) == (REPOSITORY, BRANCH), label(application)
        paths[application["metadata"]["name"]] = source["path"]
    (project,) = of_kind(moved["gitops"], "AppProject")
    assert project["spec"]["sourceRepos"] == [REPOSITORY]
    assert paths == {
        "yolocore": "manifests/gitops/apps",
        "yolocore-events": "manifests/gitops/events",
        "yolocore-pipelines": PIPELINES,
        "yolocore-serving": OVERLAY,
    }


def test_promotions_go_where_the_cluster_looks(moved: Mapping[str, list[Document]]) -> None:
    told = [d["data"] for d in of_kind(moved["overlays/gpu"], "ConfigMap") if "services" in d["metadata"]["name"]]
    assert len(told) == 2
    for data in told:
        assert (data["GIT_URL"], data["GIT_BRANCH"], data["OVERLAY"]) == (REPOSITORY, BRANCH, OVERLAY)
    (template,) = of_kind(moved["overlays/gpu"], "WorkflowTemplate")
    args = template["spec"]["templates"][0]["container"]["args"]
    assert {
        "promotion_url=$(GIT_URL)",
        "promotion_file=$(OVERLAY)/model.env",
        "promotion_branch=$(GIT_BRANCH)",
    } <= set(args)
    assert (MANIFESTS.parent / OVERLAY / "model.env").is_file()


def test_retrainings_are_of_its_branch(moved: Mapping[str, list[Document]]) -> None:
    (template,) = of_kind(moved["overlays/gpu"], "WorkflowTemplate")
    (commit,) = (p for p in template["spec"]["arguments"]["parameters"] if p["name"] == "commit")
    assert commit["value"] == BRANCH
    (sensor,) = of_kind(moved["gitops/events"], "Sensor")
    push = {"after": "1" * 40, "commits": [{"modified": ["params.yaml"]}]}
    assert triggered(sensor, "push", {"body": {**push, "ref": "refs/heads/main"}}) is None
    assert triggered(sensor, "github", {"body": {**push, "ref": f"refs/heads/{BRANCH}"}}) is not None
    made = triggered(sensor, "calendar", payloads.tick("2026-11-23"))
    assert made is not None and made["spec"]["arguments"]["parameters"][0] == {"name": "commit", "value": BRANCH}
