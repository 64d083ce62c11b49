"""deploy: from an exported model to a verified endpoint, and back.

1. ask MLflow, and measure the exported network in this process; nothing has been touched yet
2. write the entry of the served model, named by its digest, into the repository
3. register it; it is the candidate
4. load it beside the one that serves, in the server that runs or in one of our own
5. verify: mAP through the server against the one of 1, and the latency
6. let the name serve it: the pointer in the repository, then in the server
7. put the entry into the object store, if there is one, where other servers fetch it
8. make it the champion; the one before is `previous`

A failure anywhere takes back, in reverse, what was done: what served goes on serving. After a kill, the
same command finds each transition done or does it. Both mAPs are taken with the limits of score, overlap
and rows that the served model has built in, so that they differ by what serving adds and nothing else;
they are lower than what `val` finds at a score limit near zero, and are no substitute for it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from yolocore.config import DeployConfig
from yolocore.data import open_dataset
from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.errors import RefusedError, ServiceError, UsageError, YoloError
from yolocore.evaluate import in_classes_of
from yolocore.evaluate.metrics import DetectionMetrics
from yolocore.evaluate.served import evaluate_served
from yolocore.lineage import registry
from yolocore.modes.inputs import DeployInputs
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import DeployRecord
from yolocore.runtimes.detector import LocalDetector
from yolocore.runtimes.onnx import OnnxRuntime
from yolocore.runtimes.served import ServingInfo
from yolocore.runtimes.triton import TritonDetector
from yolocore.serve import repository as models
from yolocore.serve.control import Control
from yolocore.serve.exported import Exported
from yolocore.serve.repository import Pointer, entry_name
from yolocore.serve.server import Endpoint, attach, attached_or_running
from yolocore.store import configured, file_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENDPOINT, CLIENT, LOG = "endpoint.json", "client.py", "triton.log"
_CLIENT = Path(models.__file__).with_name("client.py")
_TIMED = 32  # images whose latency is taken, one at a time
_SAME_PIXEL = 1.0  # pixels by which a box may differ between two decoders' versions of an image


def deploy(config: DeployConfig, inputs: DeployInputs, out: Path, listener: Listener = SILENT) -> DeployRecord:
    """Serve an exported model under `config.name`, verified.

    Raises DataError and ModelError for inputs that are missing or broken, ServiceError when MLflow or the
    server fails or a port is taken, RefusedError when the served model's mAP50-95 is lower than the exported
    one's by more than `config.max_map_drop`. The repository then serves what it served before.
    """
    exported, repository, name = Exported.read(Path(inputs.exported)), Path(inputs.repository).absolute(), config.name
    dataset = open_dataset(inputs.data)
    split = dataset.split(config.split)
    digests = {
        "model": file_digest(exported.network),
        "serving": file_digest(exported.serving),
        "data": split.digest,
    }

    def serves(record: DeployRecord) -> bool:
        live = models.pointer_of(repository, name)
        return live is not None and live.digest == record.served_digest

    with Step(DeployRecord, config, digests, out, holds=serves) as step:
        if step.finished:
            return step.finished
        client = registry.registry()
        reference = LocalDetector(OnnxRuntime(exported.network, device="cpu"))
        split = in_classes_of(reference, dataset, split, listener)
        info = exported.info(reference.meta)
        expected = evaluate_served(reference, split, info, listener)

        with models.locked(repository, name), _taken_back() as undo:
            live = models.pointer_of(repository, name)
            digest = models.write_entry(repository, name, exported.serving, info)
            entry = entry_name(name, digest)
            if live is None or digest not in (live.digest, live.previous):
                undo(lambda: models.remove_entry(repository, name, digest))
            version = _register(client, name, digest, {**digests, registry.CHECKPOINT: exported.checkpoint})
            undo(lambda: registry.withdraw(client, name, version))
            registry.nominate(client, name, version)

            endpoint = Endpoint(config.host, config.port)
            server = attached_or_running(
                repository, endpoint, log=step.work / LOG, timeout=config.timeout, listener=listener
            )
            with server as control:
                with _taken_back() as undo_in_server:
                    if live is None or digest != live.digest:
                        undo_in_server(lambda: control.unload(entry))
                    control.load(entry)
                    served, timings = _measure(endpoint.url(entry), split, info, listener)
                    _compare(expected, served, config.max_map_drop)
                    undo_in_server(lambda: _restore(control, repository, name, live))
                    _swap(control, repository, name, _successor(live, digest))
                    timings |= _check_name(endpoint.url(name), digest, split)
                    if store := configured():
                        store.push(repository / entry, listener=listener)
                    registry.promote(client, name, version)
                if live is not None and live.digest != digest:
                    with contextlib.suppress(ServiceError):  # it has served its time; only memory is at stake
                        control.unload(entry_name(name, live.digest))
                triton = control.version()

        _describe(step.work, name, digest, info)
        return step.publish(
            metrics={
                "map50_95": served.map50_95,
                "map50": served.map50,
                "exported_map50_95": expected.map50_95,
                "map50_95_drop": expected.map50_95 - served.map50_95,
                "conf": info.conf,
                "iou": info.iou,
                "max_det": info.max_det,
            },
            artifacts={"endpoint": ENDPOINT},
            views=(CLIENT,),
            versions={"triton": triton, "onnxruntime": onnxruntime.__version__},
            timings=timings,
            model_name=name,
            served_digest=digest,
        )


def rollback(name: str, repository: Path, endpoint: Endpoint, listener: Listener = SILENT) -> Pointer:
    """Let a name serve what it served before, in the repository, in the server at the endpoint if one runs, in MLflow.

    Interrupted and repeated, it completes; repeated after that, it goes forth again. Raises UsageError where
    there is nothing to go back to, ServiceError when MLflow or the server fails.
    """
    repository = repository.absolute()
    client = registry.registry()
    with models.locked(repository, name):
        live = models.pointer_of(repository, name)
        if live is None or not live.previous:
            raise UsageError(f"{repository}: {name} has no previous model to go back to; deploy one first")
        serving = _register(client, name, live.digest, {})
        # The registry comes last: if it still calls `previous` what serves already, an earlier call was cut off.
        interrupted = registry.aliases(client, name).get(registry.PREVIOUS) == serving
        target = live if interrupted else Pointer(live.previous, live.digest)
        control = attach(repository, endpoint)
        if control is None:
            models.point(repository, name, target)
        else:
            with contextlib.closing(control):
                control.load(entry_name(name, target.digest))
                _swap(control, repository, name, target)
        registry.promote(client, name, _register(client, name, target.digest, {}))
    listener.note(f"{name} serves {entry_name(name, target.digest)} again")
    return target


def _register(client: MlflowClient, name: str, digest: str, tags: dict[str, str]) -> str:
    return registry.register(client, name, digest, f"triton:///{entry_name(name, digest)}", tags)


def _successor(live: Pointer | None, digest: str) -> Pointer:
    """What the name shall point to. Deploying what serves already changes nothing."""
    if live is None:
        return Pointer(digest, "")
    return live if live.digest == digest else Pointer(digest, live.digest)


def _swap(control: Control, repository: Path, name: str, pointer: Pointer) -> None:
    models.point(repository, name, pointer)
    control.load(name)
    control.load(f"{name}-jpeg")


def _restore(control: Control, repository: Path, name: str, live: Pointer | None) -> None:
    """Undo `_swap`: the repository first, which a server that starts later reads."""
    if live is None:
        models.unpoint(repository, name)
        control.unload(f"{name}-jpeg")
        control.unload(name)
    else:
        _swap(control, repository, name, live)


@contextlib.contextmanager
def _taken_back() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Gives a function that remembers how to take a transition back; a failure does so, last one first.

    What cannot be taken back (the server is gone, say) does not hide why it had to be.
    """

    def attempt(action: Callable[[], None]) -> None:
        with contextlib.suppress(YoloError):
            action()

    with contextlib.ExitStack() as stack:

        def remember(action: Callable[[], None]) -> None:
            stack.callback(attempt, action)

        yield remember
        stack.pop_all()


def _measure(
    url: str, split: Split, info: ServingInfo, listener: Listener
) -> tuple[DetectionMetrics, dict[str, float]]:
    """Accuracy through the server, and then, as it is warm, the latency of single images."""
    with TritonDetector(url) as detector:
        metrics = evaluate_served(detector, split, info, listener)
        seconds = []
        for index in range(min(len(split), _TIMED)):
            image = decode_image(split.image(index), split.where(index))
            start = time.perf_counter()
            detector.detect([image], conf=info.conf, iou=info.iou, max_det=info.max_det)
            seconds.append(time.perf_counter() - start)
    return metrics, _percentiles("latency", seconds)


def _compare(expected: DetectionMetrics, served: DetectionMetrics, max_drop: float) -> None:
    drop = expected.map50_95 - served.map50_95
    if drop > max_drop:
        raise RefusedError(
            f"mAP50-95 is {served.map50_95:.4f} through the server and {expected.map50_95:.4f} as exported: "
            f"a loss of {drop:.4f} where max_map_drop={max_drop}; what served before goes on serving"
        )


def _check_name(url: str, digest: str, split: Split) -> dict[str, float]:
    """What clients will do: ask by name, with pixels and with encoded images. Both must find the same."""
    with TritonDetector(url) as detector:
        if detector.digest != digest:
            raise ServiceError(f"{url}: the server goes on serving {detector.digest or 'something else'}; see its log")
        seconds = []
        for index in range(min(len(split), _TIMED)):
            content = bytes(split.image(index))
            start = time.perf_counter()
            (encoded,) = detector.detect_encoded([content])
            seconds.append(time.perf_counter() - start)
            if index == 0:
                info, image = detector.info, decode_image(content, split.where(0))
                (plain,) = detector.detect([image], conf=info.conf, iou=info.iou, max_det=info.max_det)
                if len(plain) != len(encoded) or not np.allclose(plain.boxes, encoded.boxes, atol=_SAME_PIXEL):
                    raise RefusedError(f"{url}: finds other objects in {split.names[0]} when the server decodes it")
    return _percentiles("encoded_latency", seconds)


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    return {f"{name}_p{p}_ms": float(np.percentile(seconds, p)) * 1000 for p in (50, 95)}


def _describe(folder: Path, name: str, digest: str, info: ServingInfo) -> None:
    """The endpoint for programs (JSON) and as a client that can be run, wherever the server will be."""
    rows = info.max_det
    tensors: dict[str, Any] = {
        "image": ["UINT8", [-1, -1, -1, 3], "RGB, images of one size"],
        "encoded": ["BYTES", [1], "one JPEG, PNG, …"],
        "boxes": ["FP32", [-1, rows, 4], "x1 y1 x2 y2 in pixels of the image, best first"],
        "scores": ["FP32", [-1, rows], "0..1"],
        "classes": ["INT32", [-1, rows], "indices into meta.names"],
        "count": ["INT32", [-1, 1], "rows that are detections"],
    }
    outputs = ["boxes", "scores", "classes", "count"]
    endpoint = {
        "digest": digest,
        "entry": entry_name(name, digest),
        "models": {
            name: {"inputs": ["image"], "outputs": outputs},
            f"{name}-jpeg": {"inputs": ["encoded"], "outputs": outputs},
        },
        "tensors": {t: dict(zip(("datatype", "shape", "meaning"), v, strict=True)) for t, v in tensors.items()},
        "serving": info.model_dump(mode="json"),
    }
    (folder / ENDPOINT).write_text(json.dumps(endpoint, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    source = _CLIENT.read_text(encoding="utf-8")
    (folder / CLIENT).write_text(source.replace('MODEL = "detector"', f"MODEL = {json.dumps(name)}"), encoding="utf-8")
