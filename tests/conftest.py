"""Fixtures that every room's tests share."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

if TYPE_CHECKING:
    from yolocore.serve.control import Control
    from yolocore.serve.server import Endpoint
    from yolocore.store import ObjectStore


# Before torch is loaded, for it and for all processes that tests start. They share few cores with each other, and
# threads that wait for one another would crawl.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real images, labels, weights and reference results beside the checkout; absent elsewhere."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the real images and weights that are not part of the project")
    return folder


@pytest.fixture
def camera() -> Iterator[str]:
    """A camera as many are: an endless-looking MJPEG stream over HTTP, here 60 frames at 100 a second."""

    import cv2

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(60):
                jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 4 * number, np.uint8))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(0.01)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/stream.mjpg"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Address of a real S3 server for the whole session."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3_server(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An S3 server that boto3 finds by itself."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    return s3_address


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty object store, once in a folder and once in a bucket, which YOLO_STORE names."""
    from yolocore.store import ObjectStore

    place = str(tmp_path / "store")
    if request.param == "bucket":
        import boto3

        request.getfixturevalue("s3_server")
        name = f"bucket-{uuid.uuid4().hex}"
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
        place = f"s3://{name}/some/prefix"
    monkeypatch.setenv("YOLO_STORE", place)
    return ObjectStore(place)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database. Making one costs seconds, so it is made once and copied."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MLflow database of the test's own, in its working directory, where steps look for it by default."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "YOLO_PIPELINE"):
        monkeypatch.delenv(name, raising=False)
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


@dataclass(frozen=True)
class Project:
    """A checkout of the chain's description (dvc.yaml, params.yaml) under git, to run commands in."""

    folder: Path

    def set(self, **sections: dict[str, Any]) -> None:
        """Lay settings over those of params.yaml."""
        path = self.folder / "params.yaml"
        tree = yaml.safe_load(path.read_text())
        for name, settings in sections.items():
            tree[name] = {**tree[name], **settings}
        path.write_text(yaml.safe_dump(tree))

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command in a process group of its own, with this environment's programs first."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONSAFEPATH": "1",  # the folder holds a yolocore/ of one file
            "DVC_NO_ANALYTICS": "1",
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(self, *command: str, code: int = 0) -> str:
        """Run a command that has to end with this exit code; returns what it said."""
        process = self.start(*command)
        said, _ = process.communicate()
        assert process.returncode == code, said
        return said


@pytest.fixture
def project(tmp_path: Path, database: Path) -> Project:
    root = Path(__file__).resolve().parents[1]
    described = ("dvc.yaml", "params.yaml", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "data/README.md")
    for name in (*described, ".gitignore", "yolocore/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    checkout = Project(tmp_path)
    checkout.call("git", "init", "-q")
    return checkout


@pytest.fixture(scope="session")
def triton_home() -> Iterator[None]:
    """The Triton server's environment is the checkout's, whatever a test's working directory is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLOCORE_TRITON_HOME", str(Path(__file__).resolve().parents[1] / ".triton"))
        yield


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory, triton_home: None) -> Iterator[Serving]:
    """A real Triton server for the whole session, which serves the rectangle finder as `finder`."""
    from tests.serve.finder import INFO, write_serving
    from yolocore.serve import repository as models
    from yolocore.serve.server import running

    folder = tmp_path_factory.mktemp("serving")
    model, repository = write_serving(folder / "serving.onnx"), folder / "repository"
    digest = models.write_entry(repository, "finder", model, INFO)
    models.point(repository, "finder", models.Pointer(digest, ""))
    endpoint = free_endpoint()
    with running(repository, endpoint, log=folder / "triton.log") as control:
        yield Serving(repository, endpoint, control, model, digest)


@dataclass(frozen=True)
class Serving:
    """What runs: its repository, where it listens, and the model behind `finder` with its entry's digest."""

    repository: Path
    endpoint: Endpoint
    control: Control
    model: Path
    digest: str


def free_endpoint() -> Endpoint:
    """Three ports in a row that nothing uses, of the range that the system gives to nobody by itself."""
    from yolocore.errors import ServiceError
    from yolocore.serve.server import Endpoint, check_ports

    while True:
        endpoint = Endpoint("127.0.0.1", random.randrange(10_000, 32_000, 3))
        with contextlib.suppress(ServiceError):
            check_ports(endpoint)
            return endpoint


def _few_pictures(source: str, out: Path) -> Path:
    from yolocore.config import IngestConfig
    from yolocore.modes.ingest import ingest
    from yolocore.modes.inputs import IngestInputs

    config = IngestConfig(demo_images=25, demo_imgsz=64, train_fraction=0.8, val_fraction=0.2)
    ingest(config, IngestInputs(source=source), out)
    return out


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of built-in data: 21 pictures of 64 pixels for training, 4 for validation."""
    return _few_pictures("demo", tmp_path_factory.mktemp("shapes") / "data")


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many pictures of one class each."""
    return _few_pictures("demo-classify", tmp_path_factory.mktemp("classes") / "data")
