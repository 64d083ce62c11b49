"""Which events start a retraining, of what; and that one change starts one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.gitops.server import git
from tests.manifests import payloads
from tests.manifests.conftest import Document
from tests.manifests.events import triggered
from tests.manifests.rules import NAME

DIGEST = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def sensor(rendered: Mapping[str, list[Document]]) -> Document:
    (found,) = (document for document in rendered["gitops/events"] if document["kind"] == "Sensor")
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "--initial-branch=main", "work")
    commit(tmp_path / "work", "README.md")
    return tmp_path / "work"


def commit(work: Path, *paths: str, message: str = "a change") -> str:
    """Commit a change of files (-path: its removal); returns the commit."""
    for path in paths:
        target = work / path.removeprefix("-")
        if path.startswith("-"):
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((target.read_text() if target.exists() else "") + "x\n")
    git(work, "add", "--all")
    git(work, "commit", "-q", "-m", message)
    return git(work, "rev-parse", "HEAD")


def arguments(workflow: Document) -> dict[str, str]:
    return {parameter["name"]: parameter["value"] for parameter in workflow["spec"]["arguments"]["parameters"]}


PUSHES = [
    pytest.param([["params.yaml"]], True, id="parameters"),
    pytest.param([["data/mine.dvc"]], True, id="data"),
    pytest.param([["data/a.dvc"], ["-data/a.dvc"]], True, id="data that is removed"),
    pytest.param([["params.yaml"], ["README.md"]], True, id="not the last commit"),
    pytest.param([["README.md"], ["params.yaml"]], True, id="not the first commit"),
    pytest.param([["yolocore/train/loop.py"]], False, id="code"),
    pytest.param([["docs/params.yaml", "metadata/x"]], False, id="names that only look alike"),
    pytest.param([["manifests/overlays/cpu/model.env"]], False, id="a promotion starts no retraining"),
]


@pytest.mark.parametrize("source", ["push", "github"])
@pytest.mark.parametrize(("commits", "wanted"), PUSHES)
def test_pushes_that_change_what_is_learnt_from(sensor, work, source, commits, wanted) -> None:
    before = git(work, "rev-parse", "HEAD")
    after = [commit(work, *paths) for paths in commits][-1]
    made = triggered(sensor, source, payloads.push(work, before, after))
    assert (made is not None) == wanted
    if made:
        assert arguments(made) == {"commit": after, "dataset": ""}
        assert made["metadata"]["name"] == f"retraining-push-{after}"


def test_other_branches_and_branches_that_go_start_nothing(sensor, work) -> None:
    before = git(work, "rev-parse", "HEAD")
    after = commit(work, "params.yaml")
    assert triggered(sensor, "push", payloads.push(work, before, after, "refs/heads/feature")) is None
    assert triggered(sensor, "push", payloads.push(work, before, after, "refs/tags/v1")) is None
    assert triggered(sensor, "push", payloads.push(work, after, payloads.NOBODY)) is None


def test_a_message_that_names_a_path_is_no_change_of_it(sensor, work) -> None:
    before = git(work, "rev-parse", "HEAD")
    after = commit(work, "README.md", message='"modified":["params.yaml"]')
    assert triggered(sensor, "push", payloads.push(work, before, after)) is None


PUTS = [
    pytest.param(f"store/datasets/{DIGEST}.json", True, id="a dataset"),
    pytest.param(f"a/deeper/store/datasets/{DIGEST}.json", True, id="a store below folders"),
    pytest.param(f"datasets/{DIGEST}.json", True, id="a store that is the whole bucket"),
    pytest.param(f"store/datasets/{DIGEST[:-1]}.json", False, id="no digest"),
    pytest.param(f"store/datasets/old/{DIGEST}.json", False, id="deeper"),
    pytest.param(f"store/olddatasets/{DIGEST}.json", False, id="another folder"),
    pytest.param("store/datasets/README.json", False, id="something else"),
]


def wanted_of(made: Document | None) -> bool:
    """Whether a retraining starts; if so, it is that of the dataset DIGEST."""
    if made:
        assert arguments(made) == {"commit": "main", "dataset": f"sha256:{DIGEST}"}
        assert made["metadata"]["name"] == f"retraining-dataset-{DIGEST[:40]}"
    return made is not None


@pytest.mark.parametrize("source", ["minio", "sqs"])
@pytest.mark.parametrize(("key", "wanted"), PUTS)
def test_datasets_that_are_put(sensor, key, wanted, source) -> None:
    assert wanted_of(triggered(sensor, "put", payloads.put(key, source))) == wanted


def test_the_first_message_of_a_queue_is_of_no_object(sensor) -> None:
    assert triggered(sensor, "put", {"body": {"Service": "Amazon S3", "Event": "s3:TestEvent"}}) is None


OFFERS = [(f"sha256:{DIGEST}", True), (DIGEST, False), (f"sha256:{DIGEST}0", False), ("", False), (None, False)]


@pytest.mark.parametrize(("dataset", "wanted"), OFFERS)
def test_datasets_that_are_told_of(sensor, dataset, wanted) -> None:
    """Under the very name of one that is put: a store that tells of it as well starts nothing more."""
    assert wanted_of(triggered(sensor, "dataset", payloads.offered(dataset))) == wanted


@pytest.mark.parametrize(("name", "kind"), [("datasets", "minio"), ("datasets-sqs", "sqs")])
def test_datasets_are_looked_for_where_they_are_stored(rendered, name, kind) -> None:
    (source,) = (d["spec"] for d in rendered[name] if d["kind"] == "EventSource")
    services = next(d["data"] for d in rendered[name] if d["metadata"]["name"].startswith("services-"))
    assert source.keys() & {"minio", "sqs"} == {kind}
    found = source[kind]["put"]
    assert found["region"] == services["AWS_DEFAULT_REGION"]
    if kind == "minio":
        scheme, place = services["AWS_ENDPOINT_URL"].split("://")
        assert (found["endpoint"], found["insecure"]) == (place, scheme == "http")
        assert services["YOLO_STORE"].startswith(f"s3://{found['bucket']['name']}/")


@pytest.mark.parametrize("time", ["2026-11-23 03:00:00 +0000 UTC", "2026-11-23T03:00:00Z"])
def test_the_calendar_retrains_once_a_day(sensor, time) -> None:
    made = triggered(sensor, "calendar", payloads.tick(time))
    assert made and made["metadata"]["name"] == "retraining-calendar-2026-11-23"
    assert arguments(made) == {"commit": "main", "dataset": ""}


def test_the_same_change_has_the_same_name_and_another_another(sensor, work) -> None:
    """Kubernetes refuses a second object of a name: that is what makes one retraining of several events."""
    before = git(work, "rev-parse", "HEAD")
    first, second = commit(work, "params.yaml"), commit(work, "params.yaml")
    events = [("push", first), ("push", first), ("github", first), ("push", second)]
    names = [
        triggered(sensor, source, payloads.push(work, before, after))["metadata"]["name"] for source, after in events
    ]
    assert names[0] == names[1] == names[2] != names[3]
    # The name becomes the value of a label, too.
    assert all(NAME.fullmatch(name) and len(name) <= 63 for name in [*names, f"retraining-dataset-{DIGEST[:40]}"])


def test_the_workflow_gives_the_template_what_it_takes(sensor, rendered) -> None:
    (template,) = (d for d in rendered["overlays/cpu"] if d["kind"] == "WorkflowTemplate")
    made = triggered(sensor, "calendar", payloads.tick("2026-11-23"))
    assert made["spec"]["workflowTemplateRef"]["name"] == template["metadata"]["name"]
    assert arguments(made).keys() == {p["name"] for p in template["spec"]["arguments"]["parameters"]}
    account = template["spec"]["serviceAccountName"]
    assert any(d["kind"] == "ServiceAccount" and d["metadata"]["name"] == account for d in rendered["overlays/cpu"])


def test_the_sensor_listens_to_sources_that_are(sensor, rendered) -> None:
    documents = [*rendered["gitops/events"], *rendered["datasets"]]
    sources = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "EventSource"}
    for dependency in sensor["spec"]["dependencies"]:
        spec = sources[dependency["eventSourceName"]]
        events = {name for kind in ("webhook", "github", "minio", "calendar") for name in spec.get(kind, {})}
        assert dependency["eventName"] in events
        assert dependency["name"] in sensor["spec"]["triggers"][0]["template"]["conditions"].split(" || ")
        for key in ("name", "commit", "dataset"):
            assert any(
                p["src"] == {"dependencyName": dependency["name"], "dataKey": key}
                for p in sensor["spec"]["triggers"][0]["template"]["k8s"]["parameters"]
            )
