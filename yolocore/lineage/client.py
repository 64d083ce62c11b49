"""Reaching MLflow: the one place that knows where it is and that checks, before any work, that it answers.

MLflow is imported here and in its neighbours only, inside functions: it costs seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from yolocore.errors import ServiceError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "yolocore"


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or a SQLite database in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def available() -> bool:
    """Whether this environment can track: slim containers carry no MLflow, or its client without databases.

    Raises ServiceError when a server is asked for that cannot be spoken to.
    """
    asked = os.environ.get("MLFLOW_TRACKING_URI")
    if asked and find_spec("mlflow") is None:
        raise ServiceError(f"MLFLOW_TRACKING_URI={where()}: mlflow is not installed; install yolocore[mlflow]")
    return find_spec("mlflow") is not None and (bool(asked) or find_spec("sqlalchemy") is not None)


def connect() -> tuple[MlflowClient, str]:
    """A client that has answered, and the id of the experiment (MLFLOW_EXPERIMENT_NAME, default 'yolocore').

    Raises ServiceError within seconds when the server or database cannot be used.
    """
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        _knock(uri)
    # MLflow's own defaults retry for minutes; a step must learn quickly that its tracker is gone.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for chatty in ("alembic", "mlflow.store.db.utils", "mlflow.tracking.fluent"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(name)
        return client, experiment.experiment_id if experiment else client.create_experiment(name)
    except Exception as error:  # every store (REST, SQLAlchemy, plug-ins) has its own family of errors
        raise _unusable(" ".join(str(error).split())[:200]) from None


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what MLflow raises when it refuses into ServiceError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ServiceError(f"MLflow at {where()}: refuses ({reason}); see its log, and run again") from None


def where() -> str:
    """The tracking URI without a password in it, for messages."""
    return re.sub(r"//[^/@]*@", "//", tracking_uri())


def _knock(uri: str) -> None:
    """Any answer below 500 means that a server is there; MLflow's client would go on asking for minutes."""
    try:
        urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=5).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise _unusable(f"answers {error.code}") from None
    except (OSError, ValueError) as error:
        raise _unusable(str(getattr(error, "reason", error))) from None


def _unusable(reason: str) -> ServiceError:
    return ServiceError(
        f"MLflow at {where()}: cannot be used ({reason}); start it, or change or unset MLFLOW_TRACKING_URI"
    )
