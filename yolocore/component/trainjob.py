"""Training on several nodes: the train step as a TrainJob of Kubeflow Trainer, for a pod that only waits for it.

    submitted, or found running → followed by the words of its first node → its result is taken from the store

The job is named by what is trained, and on how many nodes. So another attempt, and another run that wants the same,
finds the job that runs, or what it has left in the store. Who waits and is asked to end lets the job go: its processes
save what they have, and the next attempt goes on from there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yolocore
from yolocore.component.cluster import GROUP, KIND, VERSION, AwayError, Cluster, Pod
from yolocore.component.handover import Stored, sent
from yolocore.component.node import NAME, finished, place
from yolocore.component.outputs import leave
from yolocore.component.verdict import attempt, overturn, verdict
from yolocore.config import Section
from yolocore.config.base import option
from yolocore.errors import DataError, PreemptedError, ServiceError, StorageError, UsageError, YoloError
from yolocore.modes.request import Request, read_request, validate
from yolocore.progress import Listener
from yolocore.records import TrainRecord
from yolocore.store import ObjectStore, json_digest, short, storage_errors
from yolocore.store.objects import SETTING
from yolocore.views.ending import Ending
from yolocore.views.live import live

POLL = 10.0  # seconds between two looks at a job
PATIENCE = 900.0  # seconds that the cluster may be away while a job runs: its masters are replaced now and then
COMMAND = ("torchrun", "-m", "yolocore.component.node")
GPU = "nvidia.com/gpu"
# What a node asks for and is given at most. A TrainJob that says how many GPUs replaces all that its TrainingRuntime
# (manifests/components/training) says of resources, so these are said once more.
REQUESTS, LIMITS = {"cpu": "2", "memory": "8Gi"}, {"cpu": "8", "memory": "16Gi"}


class TrainJobInputs(Section):
    """Where a model is trained by several nodes together."""

    nodes: int = option(2, "nodes that train together", ge=1)
    processes: int = option(1, "processes on each node: as many as it has GPUs", ge=1)
    gpus: int = option(0, "GPUs of each node; 0: as its TrainingRuntime has it", ge=0)
    namespace: str = option("yolocore", "namespace of the TrainJob", min_length=1)
    runtime: str = option("yolocore", "TrainingRuntime of that namespace: image, volumes and resources", min_length=1)
    queue: str = option("", "LocalQueue of Kueue that the TrainJob waits in; empty: none")


@dataclass(frozen=True)
class TrainJob:
    """A TrainJob that is wanted. request: train's, with inputs that are names."""

    request: Request
    inputs: TrainJobInputs

    @property
    def name(self) -> str:
        """Of what is trained, by which program, where and by how many: all that another job would differ in."""
        identity = {
            "program": yolocore.__version__,
            "config": self.request.config.identity(),
            "inputs": self.request.inputs.model_dump(mode="json"),
            "job": self.inputs.identity(),
        }
        return f"train-{short(json_digest(identity))}"

    def document(self, store: ObjectStore) -> dict[str, Any]:
        """As Kubernetes takes it. Trainer tells torchrun by PET_… of the nodes and processes."""
        request, inputs = self.request, self.inputs
        settings = request.config.model_dump(exclude_defaults=True) | request.inputs.model_dump()
        keys = {"job": self.name, "version": yolocore.__version__, "pipeline": request.pipeline, **settings}
        labels = {"app.kubernetes.io/part-of": "yolocore"}
        gpus = {GPU: str(inputs.gpus)}
        resources = {"resourcesPerNode": {"requests": REQUESTS | gpus, "limits": LIMITS | gpus}} if inputs.gpus else {}
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {
                "name": self.name,
                "namespace": inputs.namespace,
                "labels": labels | ({"kueue.x-k8s.io/queue-name": inputs.queue} if inputs.queue else {}),
            },
            "spec": {
                "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": inputs.runtime},
                "trainer": {
                    "numNodes": inputs.nodes,
                    "numProcPerNode": inputs.processes,
                    **resources,
                    "command": list(COMMAND),
                    "args": [f"{key}={_word(value)}" for key, value in keys.items() if value != ""],
                    "env": [{"name": SETTING, "value": store.place}],
                },
            },
        }


def train_together(*, result: Any, metrics: Any, report: Any, **keys: Any) -> None:
    """What `perform` does for train, on several nodes. keys: train's, and those of `TrainJobInputs`.

    A failure ends the process with one line and the error's exit code, as it does where the step runs by itself.
    """

    def work(store: ObjectStore | None) -> None:
        if store is None:
            raise UsageError(f"{SETTING} is not set: nodes pass their result through it; set it to s3://bucket/prefix")
        mine = {name: keys[name] for name in TrainJobInputs.model_fields if name in keys}
        theirs = {name: value for name, value in keys.items() if name not in mine}
        inputs = validate(TrainJobInputs, mine)
        request = read_request("train", {**theirs, "out": result.path})
        with live() as listener:
            wanted = TrainJob(replace(request, inputs=sent(store, request.inputs, listener)), inputs)
            _train(wanted, store, request.out, listener)
        leave(request.out, TrainRecord.load(request.out), result=result, metrics=metrics, report=report)

    attempt(NAME, result.uri, work)


def _train(wanted: TrainJob, store: ObjectStore, out: Path, listener: Listener) -> None:
    """Lay the result of a job at `out`, if need be after the job."""
    if _taken(wanted.name, store, out, listener):
        return
    cluster = Cluster(wanted.inputs.namespace)
    what = f"{KIND} {cluster.namespace}/{wanted.name}"
    with _let_go(cluster, wanted.name, listener):
        _begin(wanted, cluster, store, listener)
        _follow(wanted.name, cluster, store, listener)
        if not _taken(wanted.name, store, out, listener):
            raise StorageError(
                f"{what}: has ended well and left nothing in {SETTING}={store.place}; let its TrainingRuntime have the "
                "AWS_ENDPOINT_URL and the secret that pipelines have"
            )
    try:
        cluster.delete(wanted.name)
    except YoloError as error:
        listener.note(f"{what}: stays in the cluster ({error})")


def _taken(name: str, store: ObjectStore, out: Path, listener: Listener) -> bool:
    """Whether the store has what a job has made; if so, it lies at `out` now, as a step leaves it there."""
    digest = store.get(finished(name))
    if not digest:
        return False
    try:
        with storage_errors(out):
            store.pull(digest, out, listener)
        stored = Stored.find(out)
    except DataError as error:
        listener.note(f"{error}; it is trained anew")
        return False
    return stored is not None and store.holds(stored.digest)


@contextlib.contextmanager
def _let_go(cluster: Cluster, name: str, listener: Listener) -> Iterator[None]:
    """A job that nobody waits for would hold its nodes for days."""
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(YoloError):
            cluster.delete(name)
            listener.note(f"{KIND} {cluster.namespace}/{name}: is let go; its state is kept for the next attempt")
        raise


def _begin(wanted: TrainJob, cluster: Cluster, store: ObjectStore, listener: Listener) -> None:
    """Submit the job, or find it running. One that has ended without a result makes room for the new one."""
    name, what = wanted.name, f"{KIND} {cluster.namespace}/{wanted.name}"
    job = cluster.job(name)
    if job and not (_is(job, "Complete") or _is(job, "Failed") or _leaves(job) or verdict(store, place(name))):
        listener.note(f"{what}: runs already; waiting for it")
        return
    if job:
        listener.note(f"{what}: has ended without a result; begins anew when its pods are gone")
        cluster.delete(name)
        while cluster.job(name):
            time.sleep(POLL)
    overturn(store, place(name))
    store.delete(finished(name))
    if cluster.create(wanted.document(store)):
        listener.note(f"{what}: submitted, {wanted.inputs.nodes} nodes of {wanted.inputs.processes} processes")
    else:  # another attempt was quicker
        listener.note(f"{what}: runs already; waiting for it")


def _follow(name: str, cluster: Cluster, store: ObjectStore, listener: Listener) -> None:
    """Wait until a job has ended well, and pass on what its first node says. Raises the error that it ended with."""
    what = f"{KIND} {cluster.namespace}/{name}"
    speaker = _Speaker(name, cluster, listener)
    answered = time.monotonic()
    while True:
        try:
            job = cluster.job(name)
            speaker.listen()
            answered = time.monotonic()
        except AwayError as error:
            if time.monotonic() - answered > PATIENCE:
                raise
            listener.note(f"{error}; waiting for it")
        else:
            if job is None and not store.get(finished(name)):
                raise ServiceError(f"{what}: was deleted; run the step again to go on from what it has saved")
            if job is None or _is(job, "Complete"):
                return
            if ended := verdict(store, place(name)):
                raise _error(what, ended)
            if failed := _is(job, "Failed"):
                raise _failure(what, failed, cluster.pods(name), speaker)
        time.sleep(POLL)


class _Speaker:
    """Tells what the first node of a job waits for or says, each once."""

    def __init__(self, name: str, cluster: Cluster, listener: Listener) -> None:
        self._name, self._cluster, self._listener = name, cluster, listener
        self._state: tuple[str, str] | None = None
        self._at = ""

    def listen(self) -> None:
        pod = self._cluster.first(self._name)
        if pod is None:
            return
        if (pod.name, pod.state) != self._state:
            self._state = (pod.name, pod.state)
            self._listener.note(f"{pod.name}: {pod.state}")
        for line in self._cluster.log(self._name, pod):
            if line.at > self._at:
                self._at = line.at
                self._listener.note(line.text)

    def last_word(self, pod: Pod) -> str:
        """Why a pod has ended, in the program's own line; else the last one of its log."""
        said = [line.text for line in self._cluster.log(self._name, pod) if line.text.strip()]
        own = [text.removeprefix(f"{NAME}: ") for text in said if text.startswith(f"{NAME}: ")]
        return (own or said or [""])[-1]


def _error(what: str, ended: Ending) -> YoloError:
    """A process's own ending, as the ending of who waited for it: the same code and words, and the job's name."""
    words = ended.line.removeprefix(f"{NAME}: ").removeprefix("error: ")
    error = YoloError(f"{what}: {words}")
    error.exit_code = ended.code
    return error


def _failure(what: str, condition: dict[str, Any], pods: list[Pod], speaker: _Speaker) -> YoloError:
    """Why a job has failed that no process has given its verdict on: it may do better another time."""
    for pod in pods:
        if pod.evicted:
            return PreemptedError(f"{what}: {pod.name} was evicted; run the step again to go on from what it has saved")
    reason = condition.get("message") or condition.get("reason")
    for pod in pods:
        if pod.code:
            return ServiceError(f"{what}: {reason}; {pod.name} ended with {pod.code}: {speaker.last_word(pod)}")
    return ServiceError(f"{what}: {reason}; its pods are gone: look for what they said in the cluster's logs")


def _is(job: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """A job's condition of this kind, if it is true."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


def _leaves(job: dict[str, Any]) -> bool:
    return "deletionTimestamp" in job["metadata"]


def _word(value: Any) -> str:
    """A setting in the command line's syntax."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
