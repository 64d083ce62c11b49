"""A Kubernetes API server as far as trainings speak to one: TrainJobs of one namespace, their pods and their logs."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.schemas import NoSchemaError, problems

Document = dict[str, Any]
Query = dict[str, list[str]]

JOBS = re.compile(r"/apis/trainer\.kubeflow\.org/v1alpha1/namespaces/yolocore/trainjobs(?:/([\w-]+))?")
PODS = re.compile(r"/api/v1/namespaces/yolocore/pods(?:/([\w-]+)/log)?")
TIME = "2026-01-02T03:04:{:02}Z"


@dataclass
class ApiServer:
    """trainer: what happens to a job that was created. looks: what happens before each of the next looks at a job.

    answers: status and message of the next requests, in place of what they ask for. lingers: looks that a deleted job
    is still found at.
    """

    trainer: Callable[[Document], None] = lambda job: None
    looks: list[Callable[[], None]] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    lingers: int = 0
    jobs: dict[str, Document] = field(default_factory=dict)
    pods: list[Document] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    created: list[Document] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def condition(self, name: str, kind: str, message: str = "") -> None:
        """Let a job be Complete, Failed or Suspended."""
        said = {"type": kind, "status": "True", "reason": "x", "message": message, "lastTransitionTime": TIME.format(0)}
        self.jobs[name]["status"] = {"conditions": [said]}

    def pod(self, job: str, node: int, phase: str, log: list[str], **status: Any) -> None:
        """Let a job have another pod, which has said these lines. status: more of what Kubernetes knows of it."""
        name = f"{job}-node-0-{node}-{len(self.pods)}"
        labels = {"jobset.sigs.k8s.io/jobset-name": job, "batch.kubernetes.io/job-completion-index": str(node)}
        made = TIME.format(len(self.pods))
        self.pods.append(
            {
                "metadata": {"name": name, "labels": labels, "creationTimestamp": made},
                "spec": {"containers": [{"name": "node"}]},
                "status": {"phase": phase, **status},
            }
        )
        self.logs[name] = log

    def answer(self, method: str, path: str, query: Query, body: bytes) -> tuple[int, Document | str]:
        if self.answers:
            return self._status(*self.answers.pop(0))
        if found := JOBS.fullmatch(path):
            return self._job(method, found[1], query, body)
        if found := PODS.fullmatch(path):
            return self._log(found[1]) if found[1] else self._pods(query)
        return 404, "404 page not found\n"

    def _job(self, method: str, name: str | None, query: Query, body: bytes) -> tuple[int, Document | str]:
        if method == "POST":
            job = json.loads(body)
            with suppress(NoSchemaError):
                if wrong := problems(job):
                    return self._status(422, "; ".join(wrong))
            name = job["metadata"]["name"]
            if name in self.jobs:
                return self._status(409, f'trainjobs "{name}" already exists', name)
            self.jobs[name] = job
            self.created.append(job)
            self.trainer(job)
            return 201, job
        if name not in self.jobs:
            return self._status(404, f'trainjobs "{name}" not found', str(name))
        if method == "DELETE":
            assert query["propagationPolicy"] == ["Foreground"], "its pods are to save what they have first"
            self.deleted.append(name)
            self.jobs[name]["metadata"]["deletionTimestamp"] = TIME.format(59)
        elif self.looks:
            self.looks.pop(0)()
        if "deletionTimestamp" in self.jobs[name]["metadata"]:
            self.lingers -= 1
            return 200, self.jobs[name] if self.lingers >= 0 else self.jobs.pop(name)
        return 200, self.jobs[name]

    def _pods(self, query: Query) -> tuple[int, Document]:
        wanted = dict(part.split("=") for part in query["labelSelector"][0].split(","))
        found = [pod for pod in self.pods if wanted.items() <= pod["metadata"]["labels"].items()]
        return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found}

    def _log(self, name: str) -> tuple[int, Document | str]:
        if not self.logs[name]:
            return self._status(400, 'container "node" is waiting to start: ContainerCreating')
        return 200, "".join(f"2026-01-02T03:04:05.{i:09}Z {line}\n" for i, line in enumerate(self.logs[name]))

    @staticmethod
    def _status(code: int, message: str, name: str = "") -> tuple[int, Document]:
        details = {"name": name, "kind": "trainjobs"}
        return code, {"kind": "Status", "status": "Failure", "message": message, "code": code, "details": details}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[ApiServer, Path]]:
    """A server without jobs, and the KUBECONFIG that leads to it."""
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != "Bearer t0ken":
                code, answer = ApiServer._status(401, "Unauthorized")
            else:
                code, answer = state.answer(self.command, url.path, urllib.parse.parse_qs(url.query), body)
            content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815  as the server calls them

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    config = folder / "kubeconfig"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                "users": [{"name": "u", "user": {"token": "t0ken"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    yield state, config
    server.shutdown()
    thread.join()
    server.server_close()
