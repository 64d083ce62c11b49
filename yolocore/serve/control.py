"""Telling a running server what to load: the administrator's side of Triton's HTTP API.

A server that we start demands a key for that side. Who can read the repository can read the key, so
that a deployment finds its way into a server that somebody else started; a web page or another user that
merely reaches the port does not. (On one machine the key shows in the list of processes: it keeps out
strangers from the network, and no more.)
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

from yolocore.errors import ServiceError
from yolocore.store import storage_errors

HEADER = "admin-key"
T = TypeVar("T")


def admin_key(repository: Path) -> str:
    """The repository's key, made at the first call, readable by its owner only."""
    path = repository / ".admin-key"
    with storage_errors(repository, "repository="):
        repository.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text()
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(16))
        return path.read_text()


class Control:
    """Models of the server at an address. All methods raise ServiceError when the server fails or refuses."""

    def __init__(self, address: str, key: str, timeout: float) -> None:
        from tritonclient.http import InferenceServerClient

        self.address = address
        self._client = InferenceServerClient(address, connection_timeout=timeout, network_timeout=timeout)
        self._headers = {HEADER: key}

    def close(self) -> None:
        self._client.close()

    def version(self) -> str:
        """Version of the server."""
        return str(self._ask(self._client.get_server_metadata)["version"])

    def models(self) -> set[str]:
        """Names of all models in the server's repository, loaded or not."""
        index: list[Mapping[str, Any]] = self._ask(lambda: self._client.get_model_repository_index(self._headers))
        return {model["name"] for model in index}

    def ready(self, model: str) -> bool:
        return self._ask(lambda: self._client.is_model_ready(model))

    def load(self, model: str) -> None:
        """Load a model, or read its files again, with what it builds on. The loaded one serves until then."""
        self._ask(lambda: self._client.load_model(model, self._headers))

    def unload(self, model: str) -> None:
        """Take a model out of memory. Nothing happens if it isn't there."""
        self._ask(lambda: self._client.unload_model(model, self._headers))

    def _ask(self, call: Callable[[], T]) -> T:
        from tritonclient.utils import InferenceServerException

        try:
            return call()
        except InferenceServerException as error:
            reason = " ".join(error.message().partition("\n\nAt:")[0].split())  # without the backend's traceback
            raise ServiceError(f"Triton at {self.address} refuses: {reason}") from None
        except (OSError, HTTPException) as error:
            raise ServiceError(f"Triton at {self.address} does not answer ({error}); start it again") from None
