"""The nodes of a TrainJob: torchrun's processes on machines that share nothing but the object store."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import yolocore
from tests.component.api_server import ApiServer
from yolocore.component import node, trainjob
from yolocore.component.handover import Stored
from yolocore.component.verdict import verdict
from yolocore.records import TrainRecord
from yolocore.store import ObjectStore
from yolocore.views.ending import Ending

SETTINGS = {
    "model": "yolo11n", "epochs": 3, "imgsz": 64, "batch": 8, "nbs": 8, "close_mosaic": 1, "workers": 0, "device": "cpu"
}  # fmt: skip
BIN = Path(sys.executable).parent


@dataclass
class Machines:
    """Nodes as Kubeflow Trainer starts them: torchrun is told of the others by PET_…, and each has its own disk."""

    disks: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    def start(self, command: list[str], nodes: int, processes: int, **env: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for number in range(nodes):
            disk = self.disks / f"{len(self.processes)}"
            (disk / "tmp").mkdir(parents=True)
            self.logs.append(disk / "log")
            environment = {
                **os.environ,
                "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
                "TMPDIR": str(disk / "tmp"),
                "YOLO_CACHE": str(disk / "cache"),
                "PET_NNODES": str(nodes),
                "PET_NPROC_PER_NODE": str(processes),
                "PET_NODE_RANK": str(number),
                "PET_MASTER_ADDR": "127.0.0.1",
                "PET_MASTER_PORT": str(port),
                **env,
            }
            with self.logs[-1].open("wb") as log:
                started = subprocess.Popen(command, cwd=disk, env=environment, stdout=log, stderr=log)
            self.processes.append(started)

    def said(self) -> str:
        return "\n".join(log.read_text() for log in self.logs)

    def wait(self) -> list[int]:
        return [process.wait() for process in self.processes]


@pytest.fixture
def machines(tmp_path, database):
    made = Machines(tmp_path / "machines")
    yield made
    for process in made.processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


@pytest.fixture
def trainer(api: ApiServer, machines: Machines, database: Path, monkeypatch):
    """Kubeflow Trainer, as far as it starts nodes, and says how they are."""
    monkeypatch.setattr(trainjob, "POLL", 0.5)

    def start(job):
        name, spec = job["metadata"]["name"], job["spec"]["trainer"]
        env = {each["name"]: each["value"] for each in spec["env"]}
        command = [*spec["command"], *spec["args"]]
        machines.start(
            command, spec["numNodes"], spec["numProcPerNode"], MLFLOW_TRACKING_URI=f"sqlite:///{database}", **env
        )
        for number in range(spec["numNodes"]):
            api.pod(name, number, "Running", [])

        def look():
            for pod, log in zip(api.pods, machines.logs, strict=True):
                api.logs[pod["metadata"]["name"]] = log.read_text().splitlines()
            codes = [process.poll() for process in machines.processes]
            if any(codes):
                api.condition(name, "Failed", "jobset failed")
            elif None not in codes:
                api.condition(name, "Complete")
            api.looks.append(look)

        api.looks.append(look)

    api.trainer = start
    return api


@pytest.fixture
def dataset(task, store: ObjectStore):
    """A small dataset that was handed over, by the store alone."""
    ingested = task("ingested")
    ingested.perform("ingest", source="demo", demo_images=25, demo_imgsz=64, val_fraction=0.2)
    return ingested.folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_two_nodes_make_the_model_that_two_processes_make(
    trainer, machines, task, store, dataset, tmp_path, capsys
) -> None:
    together = task("together")
    together.train_together(data=str(dataset), nodes=2, **SETTINGS)
    assert machines.wait() == [0, 0], machines.said()
    told = capsys.readouterr().err
    assert "epoch 3 " in told and "submitted, 2 nodes of 1 processes" in told

    # The same on one machine, whose two processes share its disk, and which has the dataset itself.
    store.pull(Stored.find(dataset).digest, tmp_path / "data")
    keys = {**SETTINGS, "data": tmp_path / "data", "out": tmp_path / "one"}
    command = [BIN / "torchrun", "--standalone", "--nproc-per-node=2", BIN / "yolo", "train"]
    done = subprocess.run(
        [*command, *(f"{key}={value}" for key, value in keys.items())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    assert TrainRecord.load(together.folder).canonical() == TrainRecord.load(tmp_path / "one").canonical()
    store.pull(Stored.find(together.folder).digest, tmp_path / "two")
    for name in ("best.pt", "last.pt"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert {path.name for path in together.folder.iterdir()} >= set(TrainRecord.load(tmp_path / "one").views)
    assert not list((machines.disks / "1").glob("runs/*")), "the second node has written nothing"

    # A node that is started once more, because it went at the last moment, finds that all is done.
    name = trainer.created[0]["metadata"]["name"]
    again = run_node(f"job={name}", f"data={Stored.find(dataset).digest}")
    assert again.returncode == 0 and not again.stderr, again.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_a_job_that_is_let_go_is_gone_on_with(trainer, machines, task, store, dataset, capsys) -> None:
    """Who waits is asked to end; what the nodes save is found by those of the next attempt, on other disks."""

    step = task("together")
    start, signalled = trainer.trainer, []

    def until_the_first_epoch_ends():
        if "epoch 1 " in machines.said() and not signalled:
            signalled.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        trainer.looks.append(until_the_first_epoch_ends)

    trainer.trainer = lambda job: (start(job), trainer.looks.insert(0, until_the_first_epoch_ends))
    with pytest.raises(SystemExit) as ended:
        step.train_together(data=str(dataset), nodes=2, **{**SETTINGS, "epochs": 8})
    assert ended.value.code == 143
    for process in machines.processes:  # as the cluster does when a job is deleted
        process.send_signal(signal.SIGTERM)
    assert all(machines.wait()), machines.said()
    assert "the work so far is kept" in machines.said()
    assert machines.said().count("yolo train: error: SIGTERM: training is saved") == 2
    for gone in (trainer.looks, trainer.jobs, trainer.pods, machines.processes, machines.logs):
        gone.clear()
    machines.disks = machines.disks.with_name("others")
    capsys.readouterr()

    trainer.trainer = start
    step.train_together(data=str(dataset), nodes=2, **{**SETTINGS, "epochs": 8})
    told = capsys.readouterr().err
    assert "goes on with what was interrupted" in told and "epoch 1 " not in told and "epoch 8 " in told


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_what_a_node_finds_wrong_is_what_the_step_ends_with(trainer, machines, task, store, dataset, capsys) -> None:
    step = task("together")
    with pytest.raises(SystemExit) as ended:
        step.train_together(data=str(dataset), nodes=2, **{**SETTINGS, "batch": 1})
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    (name,) = trainer.jobs
    assert line.startswith(f"yolo train: error: TrainJob yolocore/{name}: ") and "the 2 processes" in line


def run_node(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yolocore.component.node", *words]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["data=x"], 2, "job= is missing"),
        (["job=j", "version=0.0.9", "data=x"], 2, f"version=0.0.9: this image has {yolocore.__version__}; let the"),
        (["job=j", "data=x", "epoch=3"], 2, "unknown key 'epoch'"),
        (["job=j", "epochs"], 2, "'epochs' is not of the form key=value"),
        (["job=j", f"data={DIGEST}"], 3, f"has no object {DIGEST}; run the step that makes it again"),
        (["job=j", "data=nowhere"], 3, "data=nowhere: "),
    ],
)
@pytest.mark.parametrize("store", ["folder"], indirect=True)
def test_a_node_that_cannot_begin_leaves_its_verdict(store, capsys, words, code, said, database) -> None:
    for _ in range(2):
        assert node.main(words) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("yolo train: error: ") and said in line
    job = "j" if "job=j" in words else ""
    assert verdict(store, node.place(job)) == Ending(code, line)


def test_a_node_without_a_store(capsys, monkeypatch, database) -> None:
    monkeypatch.delenv("YOLO_STORE", raising=False)
    assert node.main(["job=j", "data=x"]) == 2
    assert "YOLO_STORE is not set: the result would go with this node" in capsys.readouterr().err
