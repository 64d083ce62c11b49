"""The images that are built here, run as a cluster runs them: any user, a root file system that is read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import yolocore
from tests.conftest import free_endpoint
from yolocore.errors import PreemptedError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ENGINE = os.environ.get("ENGINE") or next(filter(shutil.which, ("docker", "podman")), "docker")
RESTRICTED = (
    "--read-only",
    "--tmpfs=/tmp:exec,mode=1777",
    "--user=54321:0",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
SMALL = ("imgsz=64", "batch=8")


def image(mode: str) -> str:
    return f"yolocore-python-{mode}:{yolocore.__version__}"


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ENGINE, *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not shutil.which(ENGINE) or call("image", "inspect", image("train")).returncode:
        pytest.skip("needs a running container engine and the images: make images")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all steps share, as a cluster's volume: the group may write."""
    folder = tmp_path_factory.mktemp("volume")
    folder.chmod(0o2777)
    done = start(folder, "ingest", "source=demo", "demo_images=40", "demo_imgsz=64", "out=data")
    assert done.returncode == 0, done.stderr
    return folder


def start(volume: Path, mode: str, *words: str, engine: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """engine: more words for it."""
    return call("run", "--rm", *RESTRICTED, *engine, f"--volume={volume}:/yolo", image(mode), *words)


def test_a_chain_of_images(volume: Path) -> None:
    chain = {
        "train": ("data=data", "model=yolo11n", "epochs=1", *SMALL),
        "val": ("data=data", "model=train/best.pt"),
        "export": ("data=data", "model=train/best.pt"),
        "export-openvino": ("data=data", "model=train/best.pt", "format=openvino"),
        "benchmark": ("data=data", "model=export/model.onnx", "exported=export,export-openvino", "images=8"),
        "predict": ("source=data/video/demo.mp4", "model=export/model.onnx"),
        "track": ("source=demo", "model=export/model.onnx"),
    }
    for step, words in chain.items():
        done = start(volume, step.partition("-")[0], *words, f"out={step}")
        assert done.returncode == 0, (step, done.stdout, done.stderr)
        assert (volume / step / "record.json").stat().st_uid == 54321


@pytest.mark.parametrize("mode", ["ingest", "predict", "benchmark", "deploy", "track"])
def test_slim_images_have_no_pytorch_and_all_have_kubeflows_executor(mode: str) -> None:
    look = "import importlib.util as u; print(u.find_spec('torch'), bool(u.find_spec('kfp')))"
    done = call("run", "--rm", *RESTRICTED, "--entrypoint=python", image(mode), "-c", look)
    assert done.stdout.split() == ["None", "True"], done.stderr


def test_training_runs_its_kernels_on_pytorchs_threads() -> None:
    look = (
        "import numba, torch; from yolocore.train import kernels; kernels.moments(torch.zeros(1, 8, 4, 4)); "
        "found = {line.split()[-1] for line in open('/proc/self/maps') if 'gomp' in line}; "
        "print(numba.threading_layer(), len(found))"
    )
    done = call("run", "--rm", *RESTRICTED, "--entrypoint=python", image("train"), "-c", look)
    assert done.stdout.split() == ["omp", "1"], done.stderr


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[str]:
    """URI of a real MLflow server."""
    port = free_endpoint().port
    command = [sys.executable, "-m", "mlflow", "server", f"--port={port}", "--workers=1"]
    command += [f"--backend-store-uri=sqlite:///{tmp_path}/mlflow.db", f"--artifacts-destination={tmp_path}/artifacts"]
    with (tmp_path / "mlflow.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            while not answers(uri := f"http://127.0.0.1:{port}"):
                assert server.poll() is None, (tmp_path / "mlflow.log").read_text()
                time.sleep(0.2)
            yield uri
        finally:
            server.terminate()


def answers(uri: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{uri}/health", timeout=5).status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("ingest", ("source=demo", "demo_images=40", "demo_imgsz=64")),
        ("train", ("data=data", "model=yolo11n", "epochs=1", *SMALL)),
    ],
    ids=["an image with the client alone", "one with all of MLflow"],
)
def test_an_image_tracks_to_the_server_of_its_cluster(
    volume: Path, tracker: str, mode: str, words: tuple[str, ...]
) -> None:
    from mlflow import MlflowClient

    engine = ("--network=host", f"--env=MLFLOW_TRACKING_URI={tracker}")
    done = start(volume, mode, *words, f"out=tracked-{mode}", engine=engine)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(tracking_uri=tracker)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert (run.info.status, run.data.tags["yolo.mode"]) == ("FINISHED", mode)


def test_an_error_is_one_line_with_its_code(volume: Path) -> None:
    done = start(volume, "val", "data=data", "model=train/best.pt", "images=3")
    assert done.returncode == UsageError.exit_code
    assert len(done.stderr.splitlines()) == 1 and "images" in done.stderr


def test_sigterm_reaches_the_training(volume: Path) -> None:
    name = f"yolocore-test-{os.getpid()}"
    words = ("data=data", "model=yolo11n", "epochs=500", *SMALL, "out=long")
    begun = call("run", "--detach", f"--name={name}", *RESTRICTED, f"--volume={volume}:/yolo", image("train"), *words)
    assert begun.returncode == 0, begun.stderr
    try:
        while "epoch 2/500" not in (said := call("logs", name)).stdout + said.stderr:
            assert call("inspect", "--format={{.State.Running}}", name).stdout.strip() == "true", said
            time.sleep(0.5)
        call("stop", "--time=60", name)
        status = call("inspect", "--format={{.State.ExitCode}}", name).stdout.strip()
        assert int(status) == PreemptedError.exit_code
    finally:
        call("rm", "--force", name)
    assert list(volume.glob(".long.*.partial/state.pt"))
