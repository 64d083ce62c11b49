"""The server as a process: it starts or says why not, obeys those who may command it, and ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.conftest import free_endpoint
from tests.runtimes.bright import picture
from tests.serve.finder import INFO, write_serving
from yolocore.errors import ServiceError
from yolocore.runtimes.triton import TritonDetector
from yolocore.serve import repository as models
from yolocore.serve.repository import Pointer, entry_name
from yolocore.serve.server import Endpoint, attach, attached_or_running, check_ports, running, serve_forever

LIMITS = {"conf": INFO.conf, "iou": INFO.iou, "max_det": INFO.max_det}


def deployed(repository: Path, model: Path) -> str:
    """A repository that serves a model as `finder`; gives its digest."""
    digest = models.write_entry(repository, "finder", model, INFO)
    models.point(repository, "finder", Pointer(digest, ""))
    return digest


@pytest.mark.parametrize(("offset", "use"), [(0, "HTTP"), (1, "gRPC"), (2, "metrics")])
def test_taken_port_is_named_before_anything_starts(tmp_path, offset, use):
    endpoint = free_endpoint()
    with socket.create_server((endpoint.host, endpoint.port + offset)):
        with pytest.raises(ServiceError, match=rf"port {endpoint.port + offset} of 127\.0\.0\.1 .* {use} .*port="):
            check_ports(endpoint)
        with (
            pytest.raises(ServiceError, match="choose another port="),
            running(tmp_path, endpoint, log=tmp_path / "log"),
        ):
            pass
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "candidate.invalid"], ids=["address of another machine", "no such name"])
def test_a_server_elsewhere_that_does_not_answer_is_to_be_started(host):
    with pytest.raises(
        ServiceError, match=rf"port 9000 of {host} cannot be used .*; no Triton answers there; start it"
    ):
        check_ports(Endpoint(host, 9000))


def test_server_that_listens_everywhere_is_reached_here():
    assert Endpoint("0.0.0.0", 8000).url("finder") == "triton://127.0.0.1:8000/finder"


def test_running_server_is_found(serving):
    control = attach(serving.repository, serving.endpoint)
    assert control is not None
    assert control.ready("finder") and control.ready("finder-jpeg")
    with attached_or_running(serving.repository, serving.endpoint, log=serving.repository / "unused") as same:
        assert same.models() == control.models() >= {"finder", "finder-jpeg", entry_name("finder", serving.digest)}
    control.close()


def test_nothing_is_found_where_nothing_listens(tmp_path):
    assert attach(tmp_path, free_endpoint()) is None


def test_server_of_another_repository_is_left_alone(tmp_path, serving):
    deployed(tmp_path, serving.model)
    with pytest.raises(ServiceError, match="choose another port=") as caught:
        attach(tmp_path, serving.endpoint)
    assert "\n" not in str(caught.value)


def test_key_opens_no_door_to_another_repository(tmp_path, serving):
    """Two repositories with one key, as copies have: the names in them tell them apart."""
    shutil.copytree(serving.repository, tmp_path / "copy")
    models.write_entry(tmp_path / "copy", "other", serving.model, INFO)
    with pytest.raises(ServiceError, match="serves another repository"):
        attach(tmp_path / "copy", serving.endpoint)


def test_what_is_no_triton_counts_as_taken(tmp_path, camera):
    endpoint = Endpoint("127.0.0.1", int(camera.split(":")[2].split("/")[0]))
    with (
        pytest.raises(ServiceError, match="Address already in use"),
        attached_or_running(tmp_path, endpoint, log=tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(("POST", "/v2/repository/models/finder/unload"), id="unload"),
        pytest.param(("POST", "/v2/repository/index"), id="look at the repository"),
        pytest.param(("GET", "/v2/systemsharedmemory/status"), id="shared memory"),
        pytest.param(("GET", "/v2/trace/setting"), id="tracing"),
        pytest.param(("GET", "/v2/logging"), id="logging"),
    ],
)
def test_strangers_may_only_ask_for_detections(serving, request_):
    method, path = request_
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(
            urllib.request.Request(f"http://{serving.endpoint.address}{path}", method=method), timeout=5
        )
    assert caught.value.code in (400, 403)
    assert "restricted" in caught.value.read().decode()


def test_key_is_its_owners(serving):
    assert (serving.repository / ".admin-key").stat().st_mode & 0o077 == 0


def test_models_change_places_without_a_failed_request(tmp_path, serving):
    other = write_serving(tmp_path / "other.onnx", shift=5.0)
    image = picture((48, 64), (3, 5, 30, 40))
    seen, failures, enough = [], [], threading.Event()

    def ask() -> None:
        with TritonDetector(serving.endpoint.url("swapped")) as detector:
            while not enough.is_set():
                try:
                    seen.append(float(detector.detect([image], **LIMITS)[0].boxes[0, 0]))
                except Exception as error:
                    failures.append(error)

    first = models.write_entry(serving.repository, "swapped", serving.model, INFO)
    second = models.write_entry(serving.repository, "swapped", other, INFO)
    models.point(serving.repository, "swapped", Pointer(first, ""))
    serving.control.load("swapped")
    serving.control.load(entry_name("swapped", second))
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for digest in (second, first, second):
            count = len(seen)
            while len(seen) < count + 20:
                time.sleep(0.01)
            models.point(serving.repository, "swapped", Pointer(digest, ""))
            serving.control.load("swapped")
    finally:
        enough.set()
        asking.join()
    assert not failures
    steps = [a for a, b in zip(seen, [*seen[1:], None], strict=True) if a != b]
    assert steps == [3.0, 8.0, 3.0, 8.0] or steps == [3.0, 8.0, 3.0]  # the last one may come after the last request


def test_broken_candidate_is_refused_and_the_rest_goes_on(tmp_path, serving):
    digest = models.write_entry(serving.repository, "broken", serving.model, INFO)
    entry = serving.repository / entry_name("broken", digest)
    (entry / "1" / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ServiceError, match=r"refuses: .*broken-.*Protobuf parsing failed\.$"):
        serving.control.load(entry.name)
    models.remove_entry(serving.repository, "broken", digest)
    assert serving.control.ready("finder")


@pytest.mark.parametrize(
    "damage",
    [pytest.param(b"nonsense", id="damaged model"), pytest.param(None, id="missing model", marks=pytest.mark.slow)],
)
def test_server_that_cannot_start_says_why(tmp_path, triton_home, damage):
    digest = deployed(tmp_path / "repository", write_serving(tmp_path / "serving.onnx"))
    model = tmp_path / "repository" / entry_name("finder", digest) / "1" / "model.onnx"
    model.unlink() if damage is None else model.write_bytes(damage)
    with (
        pytest.raises(ServiceError, match=r"Triton did not start: .*finder-") as caught,
        running(tmp_path / "repository", free_endpoint(), log=tmp_path / "log"),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert (tmp_path / "log").stat().st_size


def test_server_that_takes_too_long_is_ended(tmp_path, triton_home):
    deployed(tmp_path / "repository", write_serving(tmp_path / "serving.onnx"))
    endpoint = free_endpoint()
    with (
        pytest.raises(ServiceError, match=r"was not ready after 0\.01 s.*timeout="),
        running(tmp_path / "repository", endpoint, log=tmp_path / "log", timeout=0.01),
    ):
        pass
    check_ports(endpoint)
    deadline = time.monotonic() + 10  # what is killed takes its moment to be gone
    while left := [each.info for each in psutil.process_iter(["cmdline"]) if mentions(each, tmp_path)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def mentions(process: psutil.Process, path: Path) -> bool:
    return str(path) in " ".join(process.info["cmdline"] or ())


def test_empty_repository_is_nothing_to_serve(tmp_path):
    with pytest.raises(ServiceError, match="nothing is deployed there"):
        serve_forever(tmp_path, free_endpoint())


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_server_ends_with_whoever_serves(tmp_path, triton_home, end):
    deployed(tmp_path / "repository", write_serving(tmp_path / "serving.onnx"))
    endpoint = free_endpoint()
    # SIGINT as in a terminal: what a script starts in the background is told to ignore it.
    program = textwrap.dedent(f"""
        import signal
        from pathlib import Path
        from yolocore.progress import SILENT
        from yolocore.serve.server import Endpoint, serve_forever
        signal.signal(signal.SIGINT, signal.default_int_handler)
        class Printer(type(SILENT)):
            def note(self, text): print(text, flush=True)
        repository, endpoint = Path({str(tmp_path / "repository")!r}), Endpoint("127.0.0.1", {endpoint.port})
        serve_forever(repository, endpoint, listener=Printer())
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"serving triton://127.0.0.1:{endpoint.port}/finder")
        family = psutil.Process(process.pid).children(recursive=True)
        assert {child.name() for child in family} >= {"tritonserver"}
        os.kill(process.pid, end)
        assert process.wait(60) == (0 if end == signal.SIGINT else -end)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    check_ports(endpoint)
