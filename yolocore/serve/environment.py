"""The real Triton server without a container: its own virtual environment and a folder of backends.

The wheel nvidia-pytriton carries NVIDIA's tritonserver and its Python backend. It wants numpy 1 where
the rest of the project wants numpy 2, so it lives alone, by default in `.triton/`:

    .triton/venv/              the server, numpy, onnxruntime, OpenCV; nothing else
    .triton/backends/python    the wheel's backend with the stub of our Python version
    .triton/backends/onnxruntime/model.py   our stand-in for the production backend of that name
    .triton/environment.json   written last: says that everything above is whole, and what it is

Triton takes `backends/NAME/model.py` for a backend called NAME. So the repository that production
serves with the C++ onnxruntime backend is served here unchanged.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolocore.errors import ServiceError, StorageError, YoloError
from yolocore.progress import SILENT, Listener
from yolocore.store import exclusive, storage_errors, write_atomic

# Everything that the server's environment holds. Newer numpy breaks the Python stub in silence
# ("Stub process is not healthy"); OpenCV 5 wants numpy 2.
REQUIREMENTS = (
    "nvidia-pytriton==0.7.0",
    "numpy==1.26.4",
    "onnxruntime==1.32.0",
    "opencv-python-headless==4.11.0.86",
)
_ONNXRUNTIME = Path(__file__).parent / "inside" / "onnxruntime.py"


@dataclass(frozen=True)
class TritonEnvironment:
    """Where the parts of an installed server are. Made by `ensure_environment`."""

    home: Path

    @property
    def venv(self) -> Path:
        return self.home / "venv"

    @property
    def backends(self) -> Path:
        return self.home / "backends"

    @property
    def site_packages(self) -> Path:
        return self.venv / f"lib/python{_python_version()}/site-packages"

    @property
    def server(self) -> Path:
        """Folder that the wheel calls tritonserver: bin, backends, caches, stubs."""
        return self.site_packages / "pytriton" / "tritonserver"

    def variables(self) -> dict[str, str]:
        """Environment variables that the server process needs besides the caller's own."""
        return {
            # The stub finds its standard library through the first `python3` on the path.
            "PATH": f"{self.venv / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            # libpython must be the very one of that standard library, so its folder comes with us.
            "LD_LIBRARY_PATH": f"{self.site_packages / 'nvidia_pytriton.libs'}:{_libpython_folder()}",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",  # entries of the repository never change
            "ORT_DISABLE_TELEMETRY": "1",
        }


def default_home() -> Path:
    """`YOLOCORE_TRITON_HOME`, else `.triton` in the current folder."""
    return Path(os.environ.get("YOLOCORE_TRITON_HOME", ".triton"))


def ensure_environment(home: Path | None = None, listener: Listener = SILENT) -> TritonEnvironment:
    """The server's environment at `home` (default: `default_home()`), installed if it isn't there yet.

    Needs the package index only the first time. Interrupted at any moment and called again, it completes.
    Raises ServiceError on another platform than Linux x86-64, without a shared libpython, and when pip
    fails; StorageError when the disk is full or read-only.
    """
    _check_platform()
    environment = TritonEnvironment((home or default_home()).absolute())
    stamp = environment.home / "environment.json"
    wanted = _identity(environment)
    with storage_errors(environment.home), exclusive(environment.home / "environment", wait=True):
        if _read_stamp(stamp) != wanted:
            stamp.unlink(missing_ok=True)
            listener.note(f"installing {REQUIREMENTS[0]} into {environment.home} (about 450 MB, once)")
            _install(environment)
            _lay_out_python_backend(environment)
            write_atomic(stamp, json.dumps(wanted, indent=2) + "\n")
        _copy_onnxruntime_backend(environment)
    return environment


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _check_platform() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ServiceError(
            f"{REQUIREMENTS[0]} runs on Linux x86-64 and this is {sys.platform} {platform.machine()}; "
            "serve the repository with the Triton container there"
        )


def _libpython_folder() -> Path:
    """Folder of the shared libpython of the running interpreter. Raises ServiceError if it has none."""
    name = f"libpython{_python_version()}.so.1.0"
    for folder in (sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"):
        if folder and (Path(folder) / name).exists():
            return Path(folder)
    raise ServiceError(
        f"{sys.base_prefix}: has no {name}, which Triton's Python backend needs; install it "
        f"(Debian: libpython{_python_version()}) or use a Python built with --enable-shared"
    )


def _identity(environment: TritonEnvironment) -> dict[str, Any]:
    """What the stamp must say. A virtual environment can't be moved, so its place is part of it."""
    return {
        "requirements": list(REQUIREMENTS),
        "python": platform.python_version(),
        "libpython": str(_libpython_folder()),
        "home": str(environment.home),
    }


def _read_stamp(stamp: Path) -> Any:
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None


def _install(environment: TritonEnvironment) -> None:
    shutil.rmtree(environment.venv, ignore_errors=True)
    shutil.rmtree(environment.backends, ignore_errors=True)
    # The base interpreter, not this one: a virtual environment made from another links to that one.
    python = getattr(sys, "_base_executable", sys.executable)
    _run([python, "-m", "venv", str(environment.venv)], "python -m venv")
    # --no-deps: the list above is complete, and pytriton's own would bring a second client library.
    pip = [str(environment.venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--retries=2", "--no-deps", "--only-binary=:all:", "--no-compile", *REQUIREMENTS], "pip install")


def _run(command: list[str], what: str) -> None:
    # A PYTHONPATH or a target meant for the caller's Python must not leak into the server's.
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET")}
    outcome = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if outcome.returncode == 0:
        return
    lines = [line.strip() for line in (outcome.stdout + outcome.stderr).splitlines() if line.strip()]
    if any("No space left on device" in line for line in lines):
        raise StorageError(f"{what}: no space left on device; free about 1 GB and run again")
    errors = [line for line in lines if line.startswith("ERROR")] or lines or [f"exit code {outcome.returncode}"]
    raise ServiceError(
        f"{what} for the Triton server failed: {errors[-1]}; check that pip reaches its package index, and run again"
    )


def _lay_out_python_backend(environment: TritonEnvironment) -> None:
    folder = environment.backends / "python"
    shutil.copytree(environment.server / "backends/python", folder)
    shutil.copy2(environment.server / f"python_backend_stubs/{_python_version()}/triton_python_backend_stub", folder)


def _copy_onnxruntime_backend(environment: TritonEnvironment) -> None:
    """Every time, because it changes with this package and not with the wheel."""
    target = environment.backends / "onnxruntime" / "model.py"
    content = _ONNXRUNTIME.read_bytes()
    if not target.exists() or target.read_bytes() != content:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)


class _Printer:
    """Notes as plain lines; the rest of a listener has nothing to say here."""

    def start(self, label: str, total: int | None) -> None: ...
    def advance(self, n: int = 1, **figures: float) -> None: ...
    def epoch(self, number: int, row: Any) -> None: ...

    def note(self, text: str) -> None:
        print(text, flush=True)


if __name__ == "__main__":
    try:
        print(f"Triton server ready in {ensure_environment(listener=_Printer()).home}")
    except YoloError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
