"""Tasks of a pipeline, as an orchestrator runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kfp import dsl

from tests.component.api_server import ApiServer, serving
from yolocore.component import perform, trainjob


class Task:
    """A task with a folder for what it makes; `uri`: where the pipeline's own store keeps its result."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder / "result"
        self.result = dsl.Model(uri=str(self.folder))
        self.metrics = dsl.Metrics(uri=str(folder / "metrics"))
        self.report = dsl.HTML(uri=str(folder / "report"))

    def perform(self, mode: str, **keys: object) -> None:
        perform(mode, result=self.result, metrics=self.metrics, report=self.report, **keys)

    def train_together(self, **keys: object) -> None:
        trainjob.train_together(result=self.result, metrics=self.metrics, report=self.report, **keys)

    def files(self) -> set[str]:
        """What lies in the result, relative to it."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def task(database: Path, tmp_path: Path) -> Callable[[str], Task]:
    """Makes tasks by name."""
    return lambda name: Task(tmp_path / name)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a machine keeps of what it has fetched; it goes with the machine."""
    monkeypatch.setenv("YOLO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster that KUBECONFIG leads to, looked at a hundred times a second."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(trainjob, "POLL", 0.01)
    with serving(tmp_path) as (server, config):
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield server
