"""The server's own environment: used when it is there, whole after a kill, plain about why it cannot be."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from yolocore.errors import ServiceError
from yolocore.serve.environment import REQUIREMENTS, default_home, ensure_environment

COMMAND = [sys.executable, "-m", "yolocore.serve.environment"]


def test_second_call_installs_nothing(triton_home, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # no pip, no index
    stamp = default_home() / "environment.json"
    before = stamp.stat().st_mtime_ns
    environment = ensure_environment()
    assert stamp.stat().st_mtime_ns == before
    assert (environment.server / "bin/tritonserver").is_file()


def test_every_requirement_is_pinned():
    assert all("==" in requirement for requirement in REQUIREMENTS)


@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [
        pytest.param(sys, "platform", "darwin", "this is darwin", id="another system"),
        pytest.param(platform, "machine", lambda: "aarch64", "this is linux aarch64", id="another processor"),
        pytest.param(sysconfig, "get_config_var", lambda _: "/nowhere", "has no libpython3", id="no shared libpython"),
    ],
)
def test_machine_that_cannot_run_it_is_told(tmp_path, monkeypatch, place, name, value, reason):
    monkeypatch.setattr(place, name, value)
    monkeypatch.setattr(sys, "base_prefix", "/nowhere")
    with pytest.raises(ServiceError, match=reason):
        ensure_environment(tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_unreachable_index_is_one_line_and_no_stamp(tmp_path):
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_CACHE_DIR": "1"}
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    outcome = subprocess.run(
        COMMAND,
        env={**variables, **nowhere, "YOLOCORE_TRITON_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == ServiceError.exit_code
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("error: pip install for the Triton server failed: ERROR:") and "index" in line
    assert not (tmp_path / "home" / "environment.json").exists()


@pytest.mark.slow
def test_killed_installation_is_completed(tmp_path):
    """Needs the package index, as a fresh machine does."""
    home = tmp_path / "home"
    variables = {**os.environ, "YOLOCORE_TRITON_HOME": str(home)}
    with subprocess.Popen(COMMAND, env=variables, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        while not (home / "venv" / "bin").exists():
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (home / "environment.json").exists()
    subprocess.run(COMMAND, env=variables, check=True, stdout=subprocess.DEVNULL)
    environment = ensure_environment(home)
    listed = subprocess.run(
        [Path(environment.venv) / "bin/python", "-c", "import cv2, numpy, onnxruntime; print(numpy.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"numpy=={listed.stdout.strip()}" in REQUIREMENTS
