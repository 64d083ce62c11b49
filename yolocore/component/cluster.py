"""The few things that are asked of a Kubernetes cluster about TrainJobs, and its refusals in one line each."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from yolocore.errors import ServiceError, UsageError

GROUP, VERSION, KIND, PLURAL = "trainer.kubeflow.org", "v1alpha1", "TrainJob", "trainjobs"
ROLE = "manifests/components/training"

_TIMEOUT = (10, 60)  # seconds until a connection, and until an answer
_LOG_LINES = 500  # of a node's log that are looked at each time
# The labels that JobSet, and Kubernetes' own Jobs, give to the pods that they make.
_JOB, _INDEX = "jobset.sigs.k8s.io/jobset-name", "batch.kubernetes.io/job-completion-index"


class AwayError(ServiceError):
    """The cluster does not answer, or not now: it may in a while."""


@dataclass(frozen=True)
class Pod:
    """A node of a training. state: what it is or waits for. code: of a container that ended, and did not end well."""

    name: str
    state: str
    code: int | None = None
    evicted: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a log. at: when it was written (RFC 3339), which orders the lines of one pod as text does."""

    at: str
    text: str


class Cluster:
    """The TrainJobs of a namespace. Which cluster: the one that this pod runs in, else the one of KUBECONFIG.

    Every call raises AwayError where the cluster is unreachable or fails, ServiceError where it refuses, and
    UsageError where it has no TrainJobs or doesn't accept this one; the constructor UsageError where there is none.
    """

    def __init__(self, namespace: str) -> None:
        from kubernetes import client, config

        self.namespace = namespace
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            try:
                config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
            except config.ConfigException as error:
                raise UsageError(f"no cluster ({error}); run in a pod of one, or set KUBECONFIG") from None
        configuration.retries = False  # who waits for a training asks again anyway, and says so
        api = client.ApiClient(configuration)
        self._where = configuration.host
        self._jobs, self._pods = client.CustomObjectsApi(api), client.CoreV1Api(api)

    def job(self, name: str) -> dict[str, Any] | None:
        """The TrainJob of this name; None where there is none."""
        with self._errors(name):
            return self._found(self._jobs.get_namespaced_custom_object, **self._of(name))

    def create(self, document: dict[str, Any]) -> bool:
        """Submit a TrainJob; whether there was none of its name."""
        name = document["metadata"]["name"]
        with self._errors(name):
            from kubernetes.client import ApiException

            try:
                self._jobs.create_namespaced_custom_object(body=document, **self._of())
            except ApiException as error:
                if error.status == 409:
                    return False
                raise
            return True

    def delete(self, name: str) -> None:
        """Let a TrainJob go, once its pods have ended and what they save on SIGTERM is saved."""
        with self._errors(name):
            self._found(self._jobs.delete_namespaced_custom_object, propagation_policy="Foreground", **self._of(name))

    def pods(self, name: str) -> list[Pod]:
        """The pods of a TrainJob, the youngest first."""
        return self._listed(name, f"{_JOB}={name}")

    def first(self, name: str) -> Pod | None:
        """The youngest pod of a TrainJob's first node, which speaks for all."""
        return next(iter(self._listed(name, f"{_JOB}={name},{_INDEX}=0")), None)

    def log(self, name: str, pod: Pod) -> list[Line]:
        """The last lines of a TrainJob's pod; none where it has not begun to speak, or is gone."""
        from kubernetes.client import ApiException

        with self._errors(name):
            try:
                said = self._pods.read_namespaced_pod_log(
                    pod.name, self.namespace, timestamps=True, tail_lines=_LOG_LINES, _request_timeout=_TIMEOUT
                )
            except ApiException as error:
                if error.status in (400, 404):
                    return []
                raise
        parts = (line.partition(" ") for line in said.splitlines())
        return [Line(at, text) for at, _, text in parts]

    def _listed(self, name: str, selector: str) -> list[Pod]:
        with self._errors(name):
            found = self._pods.list_namespaced_pod(self.namespace, label_selector=selector, _request_timeout=_TIMEOUT)
        return [_pod(pod) for pod in sorted(found.items, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)]

    def _of(self, name: str = "") -> dict[str, Any]:
        one = {"name": name} if name else {}
        kind = {"group": GROUP, "version": VERSION, "plural": PLURAL}
        return {**kind, **one, "namespace": self.namespace, "_request_timeout": _TIMEOUT}

    def _found(self, call: Any, **of: Any) -> Any:
        """What a call answers; None where the object that it names is not there."""
        from kubernetes.client import ApiException

        try:
            return call(**of)
        except ApiException as error:
            if error.status == 404 and _said(error)[1] == of["name"]:
                return None
            raise

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        what = f"{KIND} {self.namespace}/{name}"
        try:
            yield
        except ApiException as error:
            reason, _ = _said(error)
            if error.status in (401, 403) and "admission webhook" not in reason:
                raise ServiceError(f"{what}: the cluster refuses ({reason}); apply {ROLE}") from None
            if error.status == 404:
                raise UsageError(
                    f"{what}: the cluster has no place for it ({reason}); install Kubeflow Trainer, apply {ROLE}"
                ) from None
            if error.status in (400, 403, 422):
                raise UsageError(f"{what}: the cluster does not accept it ({reason})") from None
            raise AwayError(f"{what}: the cluster fails ({error.status} {reason}); try again later") from None
        except HTTPError as error:
            reason = str(getattr(error, "reason", None) or error).rpartition(": ")[2]
            raise AwayError(f"{what}: the cluster at {self._where} cannot be reached ({reason})") from None


def _said(error: Any) -> tuple[str, str]:
    """What the cluster says of a refusal, in one line, and the name of the object that it is about."""
    try:
        status = json.loads(error.body)
        return " ".join(status["message"].split())[:500], (status.get("details") or {}).get("name", "")
    except (ValueError, KeyError, TypeError, AttributeError):  # a proxy's answer
        return str(error.reason), ""


def _pod(pod: Any) -> Pod:
    conditions = {condition.type: condition for condition in pod.status.conditions or ()}
    containers = pod.status.container_statuses or ()
    waiting = [c.state.waiting.reason for c in containers if c.state.waiting]
    scheduled = conditions.get("PodScheduled")
    if not waiting and scheduled and scheduled.status == "False":
        waiting = [scheduled.message or scheduled.reason]
    # A container that was started again has its end in the state before.
    ends = [state.terminated for c in containers for state in (c.state, c.last_state) if state and state.terminated]
    evicted = conditions.get("DisruptionTarget")
    return Pod(
        name=pod.metadata.name,
        state=": ".join([pod.status.phase, *filter(None, waiting)]),
        code=next((end.exit_code for end in ends if end.exit_code), None),
        evicted=bool(evicted and evicted.status == "True"),
    )
