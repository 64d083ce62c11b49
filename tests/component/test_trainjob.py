"""TrainJobs: submitted once, followed to their end, and their result taken, whoever began them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
import yaml
from kfp import dsl

import yolocore
from components.train.component import train
from components.train_together import train_together
from tests.component.api_server import ApiServer
from tests.manifests.conftest import MANIFESTS
from tests.manifests.schemas import NoSchemaError, problems
from yolocore.component import trainjob
from yolocore.component.handover import STORED, Stored, hand_over
from yolocore.component.node import finished, place, publish
from yolocore.component.trainjob import TrainJobInputs
from yolocore.component.verdict import judged, verdict
from yolocore.config import TrainConfig
from yolocore.errors import DataError, PreemptedError, UsageError
from yolocore.progress import SILENT
from yolocore.records import FILE_NAME, Artifact, TrainRecord
from yolocore.store import tree_digest
from yolocore.views.ending import Ending

(RUNTIME,) = (
    container
    for document in yaml.safe_load_all((MANIFESTS / "components/training/runtime.yaml").read_text())
    if document["kind"] == "TrainingRuntime"
    for job in document["spec"]["template"]["spec"]["replicatedJobs"]
    for container in job["template"]["spec"]["template"]["spec"]["containers"]
)
KEYS = {"model": "yolo11n", "epochs": 3, "imgsz": 64, "classes": "0,2", "cos_lr": True, "device": "cpu"}


def trained(folder: Path) -> TrainRecord:
    """A train step's folder, as its first process leaves it."""
    folder.mkdir(parents=True)
    (folder / "best.pt").write_bytes(b"weights")
    (folder / "results.csv").write_text("epoch\n1\n")
    record = TrainRecord(
        step="train",
        key="sha256:1",
        program=yolocore.__version__,
        config=TrainConfig().identity(),
        inputs={},
        artifacts={"best": Artifact(path="best.pt", digest=tree_digest(folder / "best.pt"), bytes=7)},
        views=("results.csv",),
        metrics={"map50": 0.5},
        versions={},
        timings={},
        batch=8,
        epochs=3,
        best_epoch=2,
        fitness=0.5,
    )
    (folder / FILE_NAME).write_text(record.to_json())
    return record


@pytest.fixture
def dataset(store, tmp_path):
    """A folder in place of a dataset, as the step before has handed it over."""
    folder = tmp_path / "ingested"
    record = trained(folder)
    hand_over(store, folder, record, SILENT)
    return folder


@pytest.fixture
def training(task, dataset):
    """The step: it is the same in each attempt."""
    step = task("together")
    return step, lambda **keys: step.train_together(data=str(dataset), **{**KEYS, **keys})


@pytest.fixture
def works(api: ApiServer, store, tmp_path):
    """Nodes that train well while the first of them speaks."""

    def trainer(job):
        name = job["metadata"]["name"]

        def end():
            folder = tmp_path / f"node of {len(api.created)}"
            publish(store, name, folder, trained(folder), SILENT)
            api.condition(name, "Complete")

        api.looks += [
            lambda: api.condition(name, "Suspended"),
            lambda: api.pod(name, 0, "Pending", []),
            lambda: api.pods[-1].update(status={"phase": "Running"}) or api.logs.update({api_pod(api): ["train (8)"]}),
            lambda: api.logs[api_pod(api)].append("epoch 1  box_loss 1.2"),
            end,
        ]

    api.trainer = trainer
    return api


def api_pod(api):
    return api.pods[-1]["metadata"]["name"]


def failed(step, train, capsys, code, **keys):
    """The one line that a failing attempt ends with."""
    with pytest.raises(SystemExit) as ended:
        train(**keys)
    said = capsys.readouterr().err
    assert ended.value.code == code, said
    (line,) = (line for line in said.splitlines() if line.startswith("yolo train: "))
    assert line == said.splitlines()[-1]
    assert not (step.folder / FILE_NAME).exists()
    return line.removeprefix("yolo train: ")


def test_a_training_from_the_submission_to_the_result(training, works, store, dataset, capsys):
    """By the component itself, whose signature and call are written by hand."""
    step, _ = training
    artifacts = {"checkpoint": step.result, "metrics": step.metrics, "report": step.report}
    cluster = {"nodes": 3, "processes": 4, "queue": "training"}
    train_together.python_func(dataset=dsl.Dataset(uri=str(dataset)), **artifacts, **KEYS, **cluster)
    assert step.files() == {FILE_NAME, STORED, "results.csv"}, "what `perform` leaves"
    record = TrainRecord.load(step.folder)
    stored = Stored.find(step.folder)
    assert step.result.metadata == {
        "key": record.key,
        "best": record.artifacts["best"].digest,
        "digest": stored.digest,
        "uri": store.uri(stored.digest),
    }
    assert step.metrics.metadata == {"map50": 0.5}
    assert Path(step.metrics.path).read_bytes() == (step.folder / FILE_NAME).read_bytes()
    assert "<h2>train</h2>" in Path(step.report.path).read_text()

    (job,) = works.created
    name, spec = job["metadata"]["name"], job["spec"]["trainer"]
    assert re.fullmatch("train-[0-9a-f]{12}", name)
    assert (spec["numNodes"], spec["numProcPerNode"]) == (3, 4)
    assert spec["command"] == ["torchrun", "-m", "yolocore.component.node"]
    assert set(spec["args"]) == {
        f"job={name}", f"version={yolocore.__version__}", f"data={Stored.find(dataset).digest}", "model=yolo11n",
        "epochs=3", "imgsz=64", "classes=0,2", "cos_lr=True", "device=cpu",
    }  # fmt: skip
    assert spec["env"] == [{"name": "YOLO_STORE", "value": store.place}]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert works.deleted == [name] and not works.jobs, "it holds nothing when its result is here"

    said = capsys.readouterr().err
    pod = api_pod(works)
    for line in ("submitted, 3 nodes of 4 processes", f"{pod}: Pending", f"{pod}: Running", "train (8)", "epoch 1 "):
        assert said.count(line) == 1, said


def test_the_document_has_the_schema_of_its_kind(training, works):
    training[1]()
    try:
        assert problems(works.created[0]) == []
        works.created[0]["spec"]["trainer"]["numNode"] = 2
        assert problems(works.created[0])
    except NoSchemaError as error:
        pytest.skip(str(error))


def test_a_job_with_gpus_has_what_its_runtime_gives_besides(training, works):
    _, train = training
    train(nodes=2, processes=4, gpus=4)
    train(nodes=2, processes=4)
    asked, left = (job["spec"]["trainer"].get("resourcesPerNode") for job in works.created)
    assert left is None
    for kind, of_runtime in RUNTIME["resources"].items():
        assert asked[kind] == of_runtime | {"nvidia.com/gpu": "4"}


def test_what_was_trained_before_is_taken_from_the_store(training, works, task, store, dataset, tmp_path):
    training[1]()
    works.answers = [(500, "nobody asks")] * 9
    again = task("again")
    again.train_together(data=str(dataset), **KEYS)
    assert len(works.answers) == 9 and TrainRecord.load(again.folder).key == "sha256:1"

    works.answers.clear()
    other = task("other")
    other.train_together(data=str(dataset), **{**KEYS, "epochs": 4})
    assert len(works.created) == 2, "other settings are another job"


def test_a_result_whose_weights_were_removed_is_made_anew(training, works, store):
    step, train = training
    train()
    digest = Stored.find(step.folder).digest
    record = TrainRecord.load(step.folder)
    store._backend.delete("objects/{0:.2}/{0}".format(record.artifacts["best"].digest.removeprefix("sha256:")))
    assert not store.holds(digest)
    train()
    assert len(works.created) == 2 and store.holds(digest)


@pytest.mark.parametrize(
    ("before", "created", "reason"),
    [
        ("runs", 1, "it is waited for"),
        ("waits", 1, "so is one that Kueue has not admitted"),
        ("Failed", 2, "it makes room"),
        ("Complete", 2, "it has left nothing"),
        ("leaves", 2, "its pods save what they have, and then it makes room"),
        ("judged", 2, "it has not ended yet, and nothing will come of it"),
    ],
)
def test_a_job_that_is_there_already(training, works, store, task, dataset, capsys, before, created, reason):
    step, train = training
    works.trainer, trainer = (lambda job: None), works.trainer

    # The first attempt goes, and leaves the job where it is.
    works.looks = [lambda: works.answers.append((503, "etcd is away"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainjob, "PATIENCE", 0.0)
        failed(step, train, capsys, 5)
    ((name, job),) = works.jobs.items()
    if before in ("Failed", "Complete"):
        works.condition(name, before)
    if before == "waits":
        works.condition(name, "Suspended")
    if before == "leaves":
        job["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    if before == "judged":
        judged("yolo train", place(name), broken)
    works.lingers, works.looks = 3, []
    works.trainer = trainer
    if created == 1:
        trainer(job)
    train()
    assert len(works.created) == created, reason
    assert len({job["metadata"]["name"] for job in works.created}) == 1
    assert ("runs already; waiting for it" in capsys.readouterr().err) == (created == 1)
    assert TrainRecord.load(step.folder).key == "sha256:1"


def broken(store):
    raise DataError("data=sha256:…: is broken; mend it")


def test_a_node_that_fails_for_good_gives_its_code_and_its_line(training, api, store, capsys):
    step, train = training

    def trainer(job):
        name = job["metadata"]["name"]
        assert judged("yolo train", place(name), broken).code == 3
        api.looks.append(lambda: api.pod(name, 0, "Failed", ["Traceback of torchrun"]))
        api.looks.append(lambda: api.condition(name, "Failed", "jobset failed"))

    api.trainer = trainer
    line = failed(step, train, capsys, 3)
    (name,) = api.jobs
    assert line == f"error: TrainJob yolocore/{name}: data=sha256:…: is broken; mend it"
    # It stays for people to look at; the attempts that follow end likewise, and another task begins anew.
    assert failed(step, train, capsys, 3) == line and len(api.created) == 1 and not api.deleted


def test_a_bug_in_a_node_ends_as_one(training, api, store, capsys):
    step, train = training

    def trainer(job):
        judged("yolo train", place(job["metadata"]["name"]), lambda store: 1 / 0)

    api.trainer = trainer
    assert "bug: ZeroDivisionError: division by zero; traceback in" in failed(step, train, capsys, 70)


ENDED = {"name": "node", "ready": False, "restartCount": 1, "image": "i", "imageID": "i"}
TERMINATED = {"terminated": {"exitCode": 1}}
EVICTED = [{"type": "DisruptionTarget", "status": "True"}]
LOG = ["yolo train: error: MLflow is away; start it", "torch.distributed.elastic… ChildFailedError"]


@pytest.mark.parametrize(
    ("pods", "code", "said"),
    [
        (
            [(1, LOG, {"containerStatuses": [{**ENDED, "state": TERMINATED}]})],
            5,
            "ended with 1: error: MLflow is away",
        ),
        (
            [(0, LOG[1:], {"containerStatuses": [{**ENDED, "state": {}, "lastState": TERMINATED}]})],
            5,
            "ended with 1: torch.distributed",
        ),
        ([(0, [], {}), (1, [], {"conditions": EVICTED})], PreemptedError.exit_code, "was evicted; run the step again"),
        ([], 5, "jobset failed; its pods are gone"),
    ],
    ids=["its own line", "the last line", "evicted", "no pods"],
)
def test_a_job_that_may_do_better_another_time(training, works, capsys, pods, code, said):
    step, train = training
    works.trainer, trainer = fails(works, pods), works.trainer
    line = failed(step, train, capsys, code)
    (name,) = works.jobs
    assert f"TrainJob yolocore/{name}: " in line and said in line
    works.trainer = trainer
    train()
    assert len(works.created) == 2 and works.deleted == [name, name]


def fails(api, pods):
    def trainer(job):
        name = job["metadata"]["name"]
        for node, log, status in pods:
            api.pod(name, node, "Failed", log, **status)
        api.condition(name, "Failed", "jobset failed")

    return trainer


@pytest.mark.parametrize(
    ("status", "message", "code", "said"),
    [
        (403, 'trainjobs is forbidden: User "x" cannot create', 5, r"the cluster refuses \(trainjobs is .*\); apply"),
        (401, "Unauthorized", 5, r"the cluster refuses \(Unauthorized\); apply"),
        (
            403,
            'admission webhook "v" denied the request: x',
            2,
            r"does not accept it \(admission webhook .*\)",
        ),
        (422, "spec.trainer: Invalid value", 2, r"does not accept it \(spec.trainer: Invalid value\)"),
        (404, 'namespaces "yolocore" not found', 2, r"has no place for it \(.*\); install Kubeflow Trainer"),
        (503, "etcd is away", 5, r"the cluster fails \(503 etcd is away\); try again later"),
    ],
)
def test_a_cluster_that_refuses(training, api, capsys, status, message, code, said):
    api.answers = [(status, message)]
    line = failed(*training, capsys, code)
    assert re.fullmatch(rf"error: TrainJob yolocore/train-\w+: .*{said}.*", line), line
    assert not api.created


def test_a_cluster_without_trainjobs(training, api, capsys, monkeypatch):
    monkeypatch.setattr("yolocore.component.cluster.PLURAL", "trainjobz")
    assert "install Kubeflow Trainer" in failed(*training, capsys, 2)


def test_a_cluster_that_cannot_be_reached(training, api, capsys, tmp_path):
    config = tmp_path / "kubeconfig"
    config.write_text(re.sub(r"http://127.0.0.1:\d+", "http://127.0.0.1:1", config.read_text()))
    assert "cluster at http://127.0.0.1:1 cannot be reached" in failed(*training, capsys, 5)


def test_no_cluster_at_all(training, api, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert re.fullmatch(
        r"error: no cluster \(.*\); run in a pod of one, or set KUBECONFIG", failed(*training, capsys, 2)
    )


def test_no_store(training, api, capsys, monkeypatch):
    monkeypatch.delenv("YOLO_STORE")
    assert "YOLO_STORE is not set" in failed(*training, capsys, 2)


def test_a_cluster_that_is_away_for_a_while(training, works, capsys):
    trainer = works.trainer

    def away(job):
        trainer(job)
        works.looks.insert(2, lambda: works.answers.extend([(503, "etcd is away")] * 3))

    works.trainer = away
    training[1]()
    assert capsys.readouterr().err.count("etcd is away); try again later; waiting for it") == 3


def test_somebody_deletes_the_job(training, works, capsys):
    works.trainer = lambda job: works.looks.append(works.jobs.clear)
    assert "was deleted; run the step again to go on" in failed(*training, capsys, 5)


def test_who_is_asked_to_end_lets_the_job_go(training, api, capsys):
    api.trainer = lambda job: api.looks.append(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        training[1]()
    assert ended.value.code == 143 and len(api.deleted) == 1
    assert f"TrainJob yolocore/{api.deleted[0]}: is let go" in capsys.readouterr().err


def test_a_job_that_ends_well_and_leaves_nothing(training, api, store, capsys):
    """Its runtime has another store."""
    api.trainer = lambda job: api.condition(job["metadata"]["name"], "Complete")
    assert f"has ended well and left nothing in YOLO_STORE={store.place}" in failed(*training, capsys, 6)


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"nodes": 0}, "nodes=0"), ({"namespace": ""}, "namespace="), ({"epoch": 3}, "unknown key 'epoch'")],
)
def test_wrong_keys_are_found_before_anything_is_submitted(training, api, capsys, keys, said):
    assert said in failed(*training, capsys, UsageError.exit_code, **keys)
    assert not api.created


def test_the_component_has_all_settings_and_no_others():
    """Its file is written by hand; the tree says what has to be in it."""
    alone, together = (c.component_spec.inputs for c in (train, train_together))
    mine = {name: together[name] for name in TrainJobInputs.model_fields}
    assert {**alone, **mine} == together
    assert {n: f.default for n, f in TrainJobInputs.model_fields.items()} == {n: i.default for n, i in mine.items()}
    assert all(i.description == TrainJobInputs.model_fields[n].description for n, i in mine.items())
    assert train_together.component_spec.implementation.container.image.startswith("yolocore-python-deploy:")


def test_the_verdict_on_a_job_is_overturned_when_it_is_submitted_again(training, works, store, capsys):
    step, train = training
    works.trainer, trainer = fails(works, []), works.trainer
    failed(step, train, capsys, 5)
    (name,) = works.jobs
    judged("yolo train", place(name), broken)
    assert verdict(store, place(name)) == Ending(3, "yolo train: error: data=sha256:…: is broken; mend it")
    works.trainer = trainer
    train()
    assert verdict(store, place(name)) is None and store.get(finished(name))
