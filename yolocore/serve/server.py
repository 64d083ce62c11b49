"""The Triton server as a child process that serves one repository.

It listens on three ports in a row (HTTP, gRPC, metrics), loads the names of the repository and what they
point to, and takes others when told to by whoever holds the repository's key. It ends with its parent:
a deployment that is killed leaves no server behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from yolocore.errors import ServiceError
from yolocore.progress import SILENT, Listener
from yolocore.serve import repository as models
from yolocore.serve.control import HEADER, Control, admin_key
from yolocore.serve.environment import TritonEnvironment, ensure_environment
from yolocore.store import storage_errors

_RESTRICTED = "model-repository,shared-memory,trace,logging"
_POLL = 0.05  # seconds
_STOP = 30.0  # seconds for what is in flight; then the server is killed
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_NO_GPU = "CudaDriverHelper"  # an error to this build on every machine without a GPU
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens. port: HTTP; gRPC and metrics follow on the next two."""

    host: str
    port: int

    @property
    def address(self) -> str:
        """host:port for clients; a server that listens everywhere is reached on this machine."""
        return f"{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"

    def url(self, name: str) -> str:
        """What `open_detector` takes."""
        return f"triton://{self.address}/{name}"


@contextlib.contextmanager
def running(
    repository: Path,
    endpoint: Endpoint,
    *,
    log: Path,
    timeout: float = 60.0,
    environment: TritonEnvironment | None = None,
    listener: Listener = SILENT,
) -> Iterator[Control]:
    """A server of our own for the duration of the context, ready.

    log: file that receives what the server prints. timeout: seconds until every model must be ready.
    environment: default: the installed one, installed first if need be.
    Raises ServiceError when a port is taken, and when the server ends or is not ready in time.
    """
    check_ports(endpoint)
    environment = environment or ensure_environment(listener=listener)
    with _process(repository, endpoint, environment, log) as process:
        control = Control(endpoint.address, admin_key(repository), timeout)
        try:
            _wait_until_ready(process, repository, endpoint, timeout, log)
            yield control
        finally:
            control.close()


def attach(repository: Path, endpoint: Endpoint, timeout: float = 60.0) -> Control | None:
    """The Triton server that listens at the endpoint, None where none does.

    Raises ServiceError when it doesn't let itself be controlled or serves another repository.
    """
    if not _is_triton(endpoint):
        return None
    control = Control(endpoint.address, admin_key(repository), timeout)
    here = {path.parent.name for path in repository.glob("[!.]*/config.pbtxt")}
    try:
        if here <= control.models():
            return control
        problem = f"Triton at {endpoint.address} serves another repository than {repository}"
    except ServiceError as error:
        problem = str(error)
    control.close()
    raise ServiceError(f"{problem}; stop it or choose another port=")


@contextlib.contextmanager
def attached_or_running(
    repository: Path, endpoint: Endpoint, *, log: Path, timeout: float = 60.0, listener: Listener = SILENT
) -> Iterator[Control]:
    """The server that serves this repository at the endpoint already, or one of our own for the duration.

    Raises ServiceError as `attach` and `running` do.
    """
    control = attach(repository, endpoint, timeout)
    if control is None:
        with running(repository, endpoint, log=log, timeout=timeout, listener=listener) as control:
            yield control
        return
    listener.note(f"using the server that runs at {endpoint.address}")
    with contextlib.closing(control):
        yield control


def serve_forever(repository: Path, endpoint: Endpoint, timeout: float = 60.0, listener: Listener = SILENT) -> None:
    """Serve the repository in the foreground until Ctrl-C, saying where.

    Raises ServiceError as `running` does, and when there is nothing to serve or the server ends by itself.
    """
    names = models.served_names(repository)
    if not names:
        raise ServiceError(f"{repository}: nothing is deployed there; deploy a model first: yolo deploy")
    check_ports(endpoint)
    environment = ensure_environment(listener=listener)
    log = repository / ".triton.log"
    with _process(repository, endpoint, environment, log) as process:
        _wait_until_ready(process, repository, endpoint, timeout, log)
        with contextlib.suppress(KeyboardInterrupt):
            for name in names:
                listener.note(f"serving {endpoint.url(name)}, and encoded images at {name}-jpeg")
            host = endpoint.address.rpartition(":")[0]
            ports = f"gRPC {host}:{endpoint.port + 1}, metrics http://{host}:{endpoint.port + 2}/metrics"
            listener.note(f"{ports}, log {log}")
            process.wait()
            raise ServiceError(f"Triton ended by itself: {_excerpt(log)}; the whole log is {log}")


def check_ports(endpoint: Endpoint) -> None:
    """Raises ServiceError that names the first of the three ports that something else has."""
    for offset, use in enumerate(("HTTP", "gRPC", "metrics")):
        port = endpoint.port + offset
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
            try:
                probe.bind((endpoint.host, port))
            except OSError as error:
                taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
                remedy = (
                    "stop what listens there or choose another port="
                    if taken
                    else "no Triton answers there; start it, or choose another host="
                )
                problem = f"port {port} of {endpoint.host} cannot be used for {use} ({error.strerror})"
                raise ServiceError(f"{problem}; {remedy}") from None


def _is_triton(endpoint: Endpoint) -> bool:
    try:
        with urllib.request.urlopen(f"http://{endpoint.address}/v2", timeout=2) as answer:
            return json.load(answer).get("name") == "triton"
    except (OSError, HTTPException, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def _process(
    repository: Path, endpoint: Endpoint, environment: TritonEnvironment, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """tritonserver, started and in the end stopped."""
    for name in models.served_names(repository):
        models.repair(repository, name)
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    with storage_errors(log), log.open("wb") as output:
        process = subprocess.Popen(
            _command(repository, endpoint, environment),
            env={**variables, **environment.variables()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to answer, and the stubs can be killed with the server
            preexec_fn=_die_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
        # A server that is ended while it starts dies at once, and leaves its stubs behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _command(repository: Path, endpoint: Endpoint, environment: TritonEnvironment) -> list[str]:
    names = [loaded for name in models.served_names(repository) for loaded in (name, f"{name}-jpeg")]
    key = f"{_RESTRICTED}:{HEADER}={admin_key(repository)}"
    return [
        str(environment.server / "bin/tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={environment.backends}",
        f"--cache-directory={environment.server / 'caches'}",
        f"--http-address={endpoint.host}",
        f"--http-port={endpoint.port}",
        f"--grpc-address={endpoint.host}",
        f"--grpc-port={endpoint.port + 1}",
        f"--metrics-address={endpoint.host}",
        f"--metrics-port={endpoint.port + 2}",
        "--allow-gpu-metrics=false",  # this build runs on the CPU
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in names),
        "--disable-auto-complete-config",  # ours are complete; completing them would start every model twice
        "--strict-readiness=false",  # strict: one refused candidate makes the whole server unready for good
        f"--http-restricted-api={key}",
        f"--grpc-restricted-protocol={key}",
    ]


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_ready(
    process: subprocess.Popen[bytes], repository: Path, endpoint: Endpoint, timeout: float, log: Path
) -> None:
    names = models.served_names(repository)
    paths = [f"models/{loaded}/ready" for name in names for loaded in (name, f"{name}-jpeg")] or ["health/ready"]
    deadline = time.monotonic() + timeout
    while paths:
        if process.poll() is not None:
            raise ServiceError(f"Triton did not start: {_excerpt(log)}")
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Triton at {endpoint.address} was not ready after {timeout:g} s: {_excerpt(log)}; "
                "give it a longer timeout="
            )
        if _answers(f"http://{endpoint.address}/v2/{paths[0]}"):
            paths.pop(0)
        else:
            time.sleep(_POLL)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, HTTPException):
        return False


def _excerpt(log: Path) -> str:
    """What the server's log says went wrong: its first error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.partition("] ")[2].strip('"') for line in lines if re.match(r"E\d{4} ", line)]
    telling = [error for error in errors if _NO_GPU not in error] or lines[-1:] or ["it said nothing"]
    return telling[0].split(r"\n")[0]  # behind that stands the Python backend's traceback
