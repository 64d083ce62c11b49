"""Steps as MLflow runs: one parent run a pipeline run, one nested run a step.

A run is a view of a step's record: settings become parameters; figures and epochs become metrics; digests
and the git revision become tags; pictures become artifacts. It begins with the first epoch or with the
record, so that a step that finds itself finished leaves nothing new, and a step that goes on after a
crash goes on in the same run. Once work has begun, a tracker that stops answering never stops it.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from yolocore.config import Section, Tree
from yolocore.errors import PreemptedError
from yolocore.lineage.client import available, connect, where
from yolocore.progress import SILENT, Listener, Silent
from yolocore.records import FILE_NAME, Record
from yolocore.store import json_digest, short

if TYPE_CHECKING:
    from mlflow import MlflowClient

# predict and track use a model and measure nothing: on their own they are no experiment.
USES = ("predict", "track")

KEY, MODE, PIPELINE, REQUEST = "yolo.key", "yolo.mode", "yolo.pipeline", "yolo.request"
PARENT = "mlflow.parentRunId"  # MLflow's own name for nesting


class Tracked(Listener, Protocol):
    """A listener that takes the record at the end."""

    def finish(self, record: Record, out: Path) -> None: ...


def git_revision() -> str:
    """Commit of the working directory; empty outside a repository."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def pipeline_of(tree: Tree) -> str:
    """Identity of a pipeline run that nobody named: the settings of all its steps and the git revision."""
    settings = {name: getattr(tree, name).identity() for name in Tree.model_fields}
    return short(json_digest({"settings": settings, "revision": git_revision()}))


@contextlib.contextmanager
def track(
    mode: str, config: Section, *, pipeline: str = "", request: str = "", listener: Listener = SILENT
) -> Iterator[Tracked]:
    """Track one step. Raises ServiceError, before any work, when MLflow was asked for and does not answer.

    pipeline: the parent run's identity; empty: a run on its own. request: identity of what was asked for,
    under which an interrupted run is found again. listener: is told what a person should know.
    """
    if mode in USES and not pipeline and not os.environ.get("MLFLOW_RUN_ID"):
        yield _Untracked()
        return
    if not available():
        listener.note("mlflow is not installed: this step is not tracked")
        yield _Untracked()
        return
    client, experiment = connect()
    run = StepRun(client, experiment, mode, config, pipeline, request, listener)
    try:
        yield run
    except BaseException as error:
        run.abandon(error)
        raise


class _Untracked(Silent):
    def finish(self, record: Record, out: Path) -> None: ...


class StepRun(_Untracked):
    """The MLflow run of one step, created when there is something to say."""

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        mode: str,
        config: Section,
        pipeline: str,
        request: str,
        listener: Listener,
    ) -> None:
        self._client = client
        self._experiment = experiment
        self._mode = mode
        self._config = config
        self._pipeline = pipeline
        self._request = request
        self._listener = listener
        # Kubeflow's MLflow plug-in makes a run for each task and ends it itself.
        self._given = os.environ.get("MLFLOW_RUN_ID", "")
        self._run_id = ""
        self._parent_id = ""
        self._logged_epochs = 0
        self._pending: list[Any] = []
        self._complained = False

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._pending += [Metric(name, value, now, number) for name, value in row.items() if math.isfinite(value)]
        with self._forgiving():
            self._begin()
            self._flush()

    def finish(self, record: Record, out: Path) -> None:
        """Log the record of the step, unless a finished run of the same step already has it."""
        with self._forgiving():
            if not self._run_id and self._find(
                {KEY: record.key, PIPELINE: self._pipeline}, "attributes.status = 'FINISHED'"
            ):
                return
            self._begin()
            self._flush()
            self._log(record, out)
            self._end("FINISHED")

    def abandon(self, error: BaseException) -> None:
        """Mark a run that has begun as failed, or as killed when it is going to be continued."""
        if self._run_id:
            with self._forgiving():
                self._client.set_tag(self._run_id, "yolo.error", str(error)[:500])
                self._end("KILLED" if isinstance(error, PreemptedError | KeyboardInterrupt) else "FAILED")

    def _begin(self) -> None:
        if self._run_id:
            return
        if self._pipeline and not self._given:
            self._parent_id = self._parent()
        if self._given:
            run_id = self._given
        elif interrupted := self._find({REQUEST: self._request}, "attributes.status != 'FINISHED'"):
            run_id = interrupted
            self._client.update_run(run_id, status="RUNNING")
            self._logged_epochs = self._last_epoch(run_id)
        else:
            tags = {MODE: self._mode, REQUEST: self._request, PARENT: self._parent_id}
            run_id = self._create(self._mode, tags)
        from mlflow.entities import Param

        settings = self._config.identity()
        self._client.log_batch(run_id, params=[Param(name, str(value)) for name, value in settings.items()])
        self._run_id = run_id

    def _parent(self) -> str:
        """The pipeline's own run, made by whichever step comes first."""
        tags = {MODE: "pipeline", PIPELINE: self._pipeline}
        return self._find(tags) or self._create(f"pipeline {self._pipeline}", tags)

    def _create(self, name: str, tags: dict[str, str]) -> str:
        tags = {
            **tags,
            PIPELINE: self._pipeline,
            "mlflow.source.name": f"yolo {self._mode}",
            "mlflow.source.git.commit": git_revision(),
        }
        said = {name: value for name, value in tags.items() if value}
        return self._client.create_run(self._experiment, tags=said, run_name=name).info.run_id

    def _find(self, tags: dict[str, str], condition: str = "") -> str:
        """Id of the newest run that has these tags (an empty value: any) and meets the condition, or empty."""
        conditions = [*(f"tags.`{name}` = '{value}'" for name, value in tags.items() if value), condition]
        found = self._client.search_runs([self._experiment], " and ".join(filter(None, conditions)), max_results=1)
        return found[0].info.run_id if found else ""

    def _last_epoch(self, run_id: str) -> int:
        names = self._client.get_run(run_id).data.metrics
        histories = (self._client.get_metric_history(run_id, name) for name in names)
        return max((metric.step for history in histories for metric in history), default=0)

    def _flush(self) -> None:
        new = [metric for metric in self._pending if metric.step > self._logged_epochs]
        if new:
            self._client.log_batch(self._run_id, metrics=new)
        self._pending = []

    def _log(self, record: Record, out: Path) -> None:
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        figures = {**record.metrics, **{f"timing/{name}": value for name, value in record.timings.items()}}
        tags = {
            KEY: record.key,
            "yolo.config": self._config.digest(),
            **{f"input.{name}": digest for name, digest in record.inputs.items()},
            **{f"artifact.{name}": artifact.digest for name, artifact in record.artifacts.items()},
        }
        self._client.log_batch(
            self._run_id,
            metrics=[Metric(name, value, now, 0) for name, value in figures.items() if math.isfinite(value)],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        for path in (FILE_NAME, *record.views):
            folder = Path(path).parent.as_posix()
            self._client.log_artifact(self._run_id, str(out / path), None if folder == "." else folder)

    def _end(self, status: str) -> None:
        if self._given:
            return
        for run_id in filter(None, (self._run_id, self._parent_id)):
            self._client.set_terminated(run_id, status)

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Let the step live when its tracker dies: the record is the truth, and the same command logs it later."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            if not self._complained:
                reason = " ".join(str(error).split())[:200]
                self._listener.note(f"MLflow at {where()}: {reason}; going on without it")
            self._complained = True
