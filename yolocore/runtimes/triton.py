"""A detector behind a Triton server. Letterbox and suppression are the server's, so images go as they are.

The server hands out with the model's configuration what is built into the model (`ServingInfo`).

Next to each model NAME stands NAME-jpeg, which takes encoded images: a tenth of the bytes on the wire.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from yolocore.detections import Classification, Detections
from yolocore.errors import DataError, ModelError, ServiceError, UsageError
from yolocore.runtimes.detector import Timings
from yolocore.runtimes.served import OUTPUTS, ServingInfo, check_limits, detections

INFO, DIGEST = "yolocore", "digest"  # parameters of a served model's configuration
NO_IMAGE = "are no image"  # what the server's decoder says of bytes that it cannot decode

_URL = re.compile(r"triton(?P<grpc>\+grpc)?://(?P<host>[^/:]+|\[[^/]+\])(?::(?P<port>\d+))?/(?P<name>[\w.-]+)")
_IN_FLIGHT = 4  # requests sent before the first answer: enough for the server to batch, little enough to queue fairly


T = TypeVar("T")


@dataclass(frozen=True)
class TritonUrl:
    """`triton://host:port/name` (HTTP, port 8000 unless given) or `triton+grpc://…` (8001)."""

    grpc: bool
    host: str
    port: int
    name: str

    @classmethod
    def parse(cls, url: str) -> TritonUrl:
        """Raises UsageError for anything else."""
        match = _URL.fullmatch(url)
        if not match:
            raise UsageError(f"model={url}: is no Triton URL; write triton://host:port/name or triton+grpc://…")
        grpc = bool(match["grpc"])
        return cls(grpc, match["host"], int(match["port"] or (8001 if grpc else 8000)), match["name"])

    def __str__(self) -> str:
        return f"triton{'+grpc' if self.grpc else ''}://{self.host}:{self.port}/{self.name}"


class TritonDetector:
    """`Detector` over HTTP or gRPC. Use one in each thread; close it, or use it in a `with`.

    info: what the served model says of itself. digest: of the repository entry that serves under the URL's
    name; empty where the URL names an entry.

    Raises ServiceError when the server does not answer within `timeout` seconds or serves no such model.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self._url = TritonUrl.parse(url)
        self._connection = _connect(self._url, timeout)
        config = _reach(self._url, functools.partial(self._connection.config, self._url.name))
        parameters = {key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()}
        try:
            self.info = ServingInfo.model_validate_json(parameters[INFO])
        except (KeyError, ValidationError):
            raise ServiceError(
                f"{url}: serves a model that was not deployed by yolocore; give a deployed one"
            ) from None
        self.meta = self.info.meta
        self.digest = parameters.get(DIGEST, "")
        self.timings = Timings()

    def __enter__(self) -> TritonDetector:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def detect(
        self,
        images: Sequence[npt.NDArray[np.uint8]],
        *,
        conf: float,
        iou: float,
        max_det: int,
        multi_label: bool = False,
        classes: Sequence[int] | None = None,
        agnostic: bool = False,
        imgsz: int | None = None,
        rect: bool = True,
        pad: float = 0.0,
    ) -> list[Detections]:
        """Find objects in images: each (h, w, 3) uint8 BGR, of any size.

        `multi_label`, `rect` and `pad` are without effect: the served model gives each box its best class
        and pads to a square. Raises UsageError for any other setting that it cannot honour, ServiceError
        when the server fails.
        """
        check_limits(str(self._url), self.info, conf, iou, max_det, agnostic=agnostic, imgsz=imgsz)
        start = time.perf_counter()
        requests = [("image", "UINT8", np.ascontiguousarray(image[None, :, :, ::-1])) for image in images]
        prepared = time.perf_counter()
        answers = self._infer(self._url.name, requests)
        answered = time.perf_counter()
        found = [detections(answer, conf, max_det, classes) for answer in answers]
        self.timings.images += len(images)
        self.timings.preprocess += prepared - start
        self.timings.inference += answered - prepared
        self.timings.postprocess += time.perf_counter() - answered
        return found

    def classify(self, images: Sequence[npt.NDArray[np.uint8]], *, imgsz: int | None = None) -> list[Classification]:
        """Raises ModelError: the served graph is one for detect."""
        raise ModelError(f"{self._url}: serves a model for {self.meta.task}, which classifies no images")

    def detect_encoded(
        self,
        images: Sequence[bytes],
        *,
        conf: float | None = None,
        max_det: int | None = None,
        classes: Sequence[int] | None = None,
    ) -> list[Detections]:
        """Find objects in encoded images (JPEG, PNG, …), which the server decodes.

        Raises DataError for bytes that are no image or a truncated one, else as `detect` does.
        """
        conf = self.info.conf if conf is None else conf
        max_det = self.info.max_det if max_det is None else max_det
        check_limits(str(self._url), self.info, conf, self.info.iou, max_det)
        requests = [("encoded", "BYTES", np.array([content], dtype=np.object_)) for content in images]
        answers = self._infer(f"{self._url.name}-jpeg", requests)
        return [detections(answer, conf, max_det, classes) for answer in answers]

    def _infer(self, model: str, requests: list[_Request]) -> list[_Answer]:
        return _reach(self._url, functools.partial(self._connection.infer, model, requests))


def served_digest(url: str) -> str:
    """Digest of the repository entry that the server serves under the URL's name.

    Raises ServiceError as `TritonDetector` does, UsageError for a URL that names an entry itself.
    """
    with TritonDetector(url) as detector:
        if not detector.digest:
            raise UsageError(f"model={url}: is an entry of the repository; give the name that clients ask for")
        return detector.digest


_Request = tuple[str, str, npt.NDArray[Any]]  # name, datatype and content of the only input
_Answer = dict[str, npt.NDArray[Any]]


class _Connection(Protocol):
    def config(self, model: str) -> dict[str, Any]: ...
    def infer(self, model: str, requests: Sequence[_Request]) -> list[_Answer]: ...
    def close(self) -> None: ...


class _Http:
    def __init__(self, address: str, timeout: float) -> None:
        import tritonclient.http as protocol
        from gevent.pool import Pool

        self._protocol = protocol
        # The client's own async_infer sleeps 10 ms for each request; greenlets around the plain call don't.
        self._pool = Pool(_IN_FLIGHT)
        self._client = protocol.InferenceServerClient(
            address, concurrency=_IN_FLIGHT, connection_timeout=timeout, network_timeout=timeout
        )

    def config(self, model: str) -> dict[str, Any]:
        return self._client.get_model_config(model)

    def infer(self, model: str, requests: Sequence[_Request]) -> list[_Answer]:
        def call(request: _Request) -> _Answer | Exception:
            try:
                return _outputs(self._client.infer(model, _inputs(self._protocol, request)))
            except Exception as error:  # raised below: gevent prints what escapes from a greenlet
                return error

        answers: list[_Answer] = []
        for answer in self._pool.map(call, requests):
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def close(self) -> None:
        self._client.close()


class _Grpc:
    def __init__(self, address: str, timeout: float) -> None:
        import tritonclient.grpc as protocol

        self._protocol = protocol
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(_IN_FLIGHT, "triton")
        self._client = protocol.InferenceServerClient(address)

    def config(self, model: str) -> dict[str, Any]:
        return self._client.get_model_config(model, as_json=True, client_timeout=self._timeout)["config"]

    def infer(self, model: str, requests: Sequence[_Request]) -> list[_Answer]:
        def call(request: _Request) -> _Answer:
            inputs = _inputs(self._protocol, request)
            return _outputs(self._client.infer(model, inputs, client_timeout=self._timeout))

        return list(self._pool.map(call, requests))

    def close(self) -> None:
        self._pool.shutdown()
        self._client.close()


def _connect(url: TritonUrl, timeout: float) -> _Connection:
    try:
        return (_Grpc if url.grpc else _Http)(f"{url.host}:{url.port}", timeout)
    except ImportError:
        raise UsageError(f"model={url}: needs Triton's client library; install yolocore[triton]") from None


def _inputs(protocol: Any, request: _Request) -> list[Any]:
    name, datatype, content = request
    tensor = protocol.InferInput(name, content.shape, datatype)
    tensor.set_data_from_numpy(content)
    return [tensor]


def _outputs(result: Any) -> _Answer:
    return {name: result.as_numpy(name)[0] for name in OUTPUTS}


class _UnreachableError(ServiceError):
    """No connection. Inference changes nothing, so asking again is safe."""


@retry(
    retry=retry_if_exception_type(_UnreachableError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=0.2),
    reraise=True,
)
def _reach(url: TritonUrl, call: Callable[[], T]) -> T:
    """Call the server, again where there was no connection, and say in our own errors what went wrong."""
    from tritonclient.utils import InferenceServerException

    try:
        return call()
    except TimeoutError:
        raise ServiceError(f"{url}: no answer in time; see whether the server is overloaded") from None
    except (OSError, HTTPException) as error:
        raise _UnreachableError(
            f"{url}: cannot be reached ({error}); start the server or correct the address"
        ) from None
    except InferenceServerException as error:
        message, status = " ".join(error.message().split()), error.status() or ""
        if "UNAVAILABLE" in status and "connect" in message:
            raise _UnreachableError(
                f"{url}: cannot be reached ({message}); start the server or correct the address"
            ) from None
        if "DEADLINE_EXCEEDED" in status:
            raise ServiceError(f"{url}: no answer in time; see whether the server is overloaded") from None
        if NO_IMAGE in message:
            raise DataError(f"{url}: {message}; send whole JPEG or PNG files") from None
        raise ServiceError(f"{url}: the server refuses ({message}); see which models it serves") from None
