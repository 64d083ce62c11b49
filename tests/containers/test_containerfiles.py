"""What every image promises, read from its description; and what the build's own tools answer."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pipelines.generate import WIRING

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "containers" / "base"
SLIM = ("ingest", "predict", "benchmark", "deploy", "track")  # carry no PyTorch
MODES = sorted(mode for mode, wiring in WIRING.items() if not wiring.image)
SERVERS = {"mlflow": '["mlflow", "server"]', "triton": '["tritonserver"]'}  # what the cluster's servers begin with


def lines(folder: Path) -> list[str]:
    """Instructions, each on one line."""
    text = (folder / "Containerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_component_has_its_image() -> None:
    assert sorted(path.parent.name for path in (ROOT / "containers").glob("*/Containerfile")) == sorted(
        [*MODES, *SERVERS, "base"]
    )


@pytest.mark.parametrize("mode", MODES)
def test_an_image_is_its_modes_own(mode: str) -> None:
    found = lines(ROOT / "containers" / mode)
    assert sum(line.startswith("FROM ") for line in found) == 2, "tools of the build would stay in the image"
    assert f'ENTRYPOINT ["yolo", "{mode}"]' == found[-1], "a shell in between would keep SIGTERM"
    (installed,) = (line for line in found if line.startswith("RUN install-mode"))
    extra = ["tensorrt"] if mode in ("export", "benchmark") else []
    assert installed.split() == ["RUN", "install-mode", mode, '"$VARIANT"', *extra]
    labels = " ".join(line for line in found if line.startswith("LABEL"))
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels


@pytest.mark.parametrize("mode", ["base", *MODES])
def test_what_an_image_stands_on_is_an_argument(mode: str) -> None:
    text = (ROOT / "containers" / mode / "Containerfile").read_text()
    sources = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert sources and all(re.fullmatch(r"\$\{[A-Z_]+\}", source) for source in sources)
    assert ":latest" not in text and "# syntax" not in text
    users = [line.split()[1] for line in lines(ROOT / "containers" / mode) if line.startswith("USER")]
    assert users == (["10001:0"] if mode == "base" else []), "a number, so that a cluster sees that it is not root"


@pytest.mark.parametrize("name", SERVERS)
def test_a_servers_image_is_described_pinned_and_not_roots(name: str) -> None:
    found = lines(ROOT / "containers" / name)
    assert found[-1] == f"ENTRYPOINT {SERVERS[name]}", "a shell in between would keep SIGTERM"
    sources = [line.split()[1] for line in found if line.startswith("FROM ")]
    assert all(re.fullmatch(r"\$\{[A-Z_]+\}", source) for source in sources)
    assert "${RUNTIME_IMAGE}" in sources or "USER 10001:0" in found
    assert any("constraints.txt" in line and "install" in line for line in found)
    labels = " ".join(line for line in found if line.startswith("LABEL"))
    assert all(f"image.{each}=" in labels for each in ("title", "description", "licenses", "version", "revision"))


def test_mlflows_server_speaks_to_postgresql_and_s3() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert [each.partition("==")[0] for each in groups["mlflow-server"]] == ["mlflow", "psycopg2-binary", "boto3"]


def requirements(extra: str) -> set[str]:
    """Names that an extra installs, through the extras that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = set()
    for requirement in project["optional-dependencies"][extra]:
        name, _, inner = re.match(r"([\w-]+)(\[([\w,]+)\])?", requirement).groups()  # type: ignore[union-attr]
        if name == project["name"]:
            found |= set().union(*(requirements(each) for each in inner.split(",")))
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_slim_images_carry_no_pytorch(mode: str) -> None:
    assert ("torch" not in requirements(mode)) == (mode in SLIM)


def test_every_image_speaks_to_kubeflow_to_object_stores_and_to_mlflow() -> None:
    assert requirements("cluster") == {"kfp", "boto3", "mlflow-skinny"}


INSTALLS = [
    pytest.param(["train", "cpu"], ["--torch-backend=cpu", "--extra train --extra cluster"], id="cpu"),
    pytest.param(
        ["train", "local"], ["--requirements pyproject.toml --extra train --extra cluster"], id="from the given wheels"
    ),
    pytest.param(
        ["export", "cu130", "tensorrt"],
        ["--torch-backend=cu130", "--extra export --extra tensorrt --extra cluster"],
        id="a GPU's extras",
    ),
    pytest.param(["export", "cpu", "tensorrt"], ["--extra export --extra cluster"], id="no GPU, no TensorRT"),
]


@pytest.mark.parametrize(("words", "expected"), INSTALLS)
def test_what_is_installed(words: list[str], expected: list[str], tmp_path: Path) -> None:
    tool = tmp_path / "uv"
    tool.write_text('#!/bin/sh\necho "$*"\n')
    tool.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([BASE / "install", *words], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert all(part in done.stdout for part in expected), done.stdout
    assert "--constraint constraints.txt" in done.stdout and "--compile-bytecode" in done.stdout
    assert ("--torch-backend" in done.stdout) == (words[1] != "local")


REFUSALS = [
    pytest.param(
        [BASE / "install", "train", "gpu"], "VARIANT=gpu: give cpu, local or a CUDA release like cu130", id="variant"
    ),
    pytest.param(["make", "image", "MODE=fly", "ENGINE=true"], "MODE=fly: is none of benchmark deploy", id="mode"),
    pytest.param(["make", "image-base", "ENGINE="], "needs docker, podman or buildah", id="no engine"),
    pytest.param(["make", "sign", "PATH=/usr/bin:/bin"], "needs cosign", id="no cosign"),
]


@pytest.mark.parametrize(("command", "reason"), REFUSALS)
def test_refusals_are_one_line(command: list[str], reason: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert reason in done.stderr.splitlines()[0]
