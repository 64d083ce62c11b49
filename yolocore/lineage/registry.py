"""The model registry: which deployed model is candidate, champion, previous.

Aliases only, never stages. A version is found by the digest of what it serves, so that registering the
same model again finds the version that is there. Each function may be repeated after a crash.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from yolocore.errors import ServiceError
from yolocore.lineage.client import connect, refusals

if TYPE_CHECKING:
    from mlflow import MlflowClient

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
DIGEST, CHECKPOINT = "digest", "checkpoint"  # tags of a version: of what it serves, of what that was exported from


def registry() -> MlflowClient:
    """A client of MLflow's registry that has answered.

    Raises ServiceError within seconds when MLflow is not installed or does not answer.
    """
    try:
        return connect()[0]
    except ImportError:
        raise ServiceError("mlflow is not installed, and deployed models are registered there; install it") from None


def register(client: MlflowClient, name: str, digest: str, source: str, tags: Mapping[str, str]) -> str:
    """The version that serves `digest`, created if there is none.

    source: where the model lies, for people. tags: more of the version's origin.
    """
    from mlflow.exceptions import MlflowException

    with refusals():
        with contextlib.suppress(MlflowException):  # it exists: the usual case
            client.create_registered_model(name, description="Detector served by Triton; deployed by yolocore.")
        version = version_of(client, name, digest)
        if version is None:
            created = client.create_model_version(name, source, tags={**tags, DIGEST: digest}, await_creation_for=0)
            version = str(created.version)
        return version


def version_of(client: MlflowClient, name: str, digest: str) -> str | None:
    """The newest version that serves `digest`."""
    with refusals():
        found = client.search_model_versions(f"name='{name}'")
        return max((str(v.version) for v in found if v.tags.get(DIGEST) == digest), key=int, default=None)


def champion(client: MlflowClient, name: str) -> dict[str, str]:
    """Tags of the champion: digests of what it serves and of what it was made from. Empty where there is none."""
    with refusals():
        registered = client.search_registered_models(f"name='{name}'")
        version = registered[0].aliases.get(CHAMPION) if registered else None
        return dict(client.get_model_version(name, str(version)).tags) if version else {}


def aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Version of each alias of a registered model."""
    with refusals():
        return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def nominate(client: MlflowClient, name: str, version: str) -> None:
    """Make a version the candidate."""
    with refusals():
        client.set_registered_model_alias(name, CANDIDATE, version)


def withdraw(client: MlflowClient, name: str, version: str) -> None:
    """Take the candidacy from a version that has it."""
    if aliases(client, name).get(CANDIDATE) == version:
        with refusals():
            client.delete_registered_model_alias(name, CANDIDATE)


def promote(client: MlflowClient, name: str, version: str) -> None:
    """Make a version the champion, and what was champion the previous one. Also the way back.

    `previous` is written first: a crash in between leaves the champion, and a repetition completes.
    """
    champion = aliases(client, name).get(CHAMPION)
    with refusals():
        if champion != version:
            if champion is not None:
                client.set_registered_model_alias(name, PREVIOUS, champion)
            client.set_registered_model_alias(name, CHAMPION, version)
    withdraw(client, name, version)
