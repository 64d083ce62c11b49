"""A detector: images in, what they show in their own pixels out, wherever the network runs.

`open_detector` is the one place that knows which file or address needs which engine, and it imports
only that one. Here the letterbox before the network and the suppression after it are ours
(`LocalDetector`); a served model does both itself.
"""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.detections import Classification, Detections
from yolocore.errors import ModelError, UsageError
from yolocore.letterbox import Letterbox, centre_crop, rect_shape, to_tensor_batch
from yolocore.meta import ModelMeta, Task
from yolocore.nms import non_max_suppression
from yolocore.runtimes.base import SUFFIXES, Runtime
from yolocore.runtimes.postprocess import restore

Image = npt.NDArray[np.uint8]

TRITON_SCHEMES = ("triton://", "triton+grpc://")


@dataclass
class Timings:
    """Seconds that a detector has spent so far, and on how many images. Assign a new one to start again."""

    images: int = 0
    preprocess: float = 0.0
    inference: float = 0.0
    postprocess: float = 0.0

    def milliseconds(self) -> dict[str, float]:
        """Mean milliseconds per image of each stage."""
        per_image = 1000 / max(self.images, 1)
        return {
            "preprocess_ms": self.preprocess * per_image,
            "inference_ms": self.inference * per_image,
            "postprocess_ms": self.postprocess * per_image,
        }


class Detector(Protocol):
    """What every mode that looks at images is given. `meta` says which classes there are.

    A model for classify has `classify`, one for any other task `detect`; the other one raises ModelError.
    """

    meta: ModelMeta
    timings: Timings

    def detect(
        self,
        images: Sequence[Image],
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
        """Find objects in images (h, w, 3) uint8 BGR of any sizes; boxes, and what else the task has, in pixels
        of each image.

        conf, iou, max_det, multi_label, classes, agnostic: see `non_max_suppression`.
        imgsz: longest side of the network's input in pixels; None: the model's own.
        rect: pad to the smallest rectangle that holds the batch, not to a square.
        pad: extra border of the rectangle, in strides. A model of fixed shape ignores the last three.
        """
        ...

    def classify(self, images: Sequence[Image], *, imgsz: int | None = None) -> list[Classification]:
        """Say what images (h, w, 3) uint8 BGR show as a whole: of each, the square in its middle is looked at.

        imgsz: side in pixels that the square is resized to; None, or a model of fixed shape: the model's own.
        """
        ...


class LocalDetector:
    """Letterbox, the network in this process, suppression, and back to the images' own pixels."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.shape = runtime.shape
        self.meta = runtime.meta
        self.timings = Timings()

    def detect(
        self,
        images: Sequence[Image],
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
        if self.meta.task == "classify":
            raise ModelError("a model for classify finds no objects; give one for another task")
        if not images:
            return []
        start = time.perf_counter()
        imgsz = imgsz or self.meta.imgsz
        sources = [(image.shape[0], image.shape[1]) for image in images]
        fixed = self._runtime.shape
        shape = fixed or _canvas(sources, imgsz, self.meta.stride, rect, pad)
        # Images of a mixed batch are not enlarged to fill a canvas that another one needs.
        places = [Letterbox.fit(source, shape, None if fixed else imgsz) for source in sources]
        batch = to_tensor_batch([place.apply(image) for place, image in zip(places, images, strict=True)])
        prepared = time.perf_counter()
        outputs = self._runtime.forward(batch)
        inferred = time.perf_counter()
        suppress = functools.partial(
            non_max_suppression,
            nc=len(self.meta.names),
            conf=conf,
            iou=iou,
            max_det=max_det,
            multi_label=multi_label,
            classes=classes,
            agnostic=agnostic,
            turned=self.meta.task == "obb",
        )
        found = [
            restore(suppress(of_image[0]), of_image, place, self.meta)
            for place, *of_image in zip(places, *outputs, strict=True)
        ]
        self._count(len(images), start, prepared, inferred)
        return found

    def classify(self, images: Sequence[Image], *, imgsz: int | None = None) -> list[Classification]:
        if self.meta.task != "classify":
            raise ModelError(f"a model for {self.meta.task} classifies no images; give one for classify")
        if not images:
            return []
        start = time.perf_counter()
        side = self._runtime.shape[0] if self._runtime.shape else imgsz or self.meta.imgsz
        batch = to_tensor_batch([centre_crop(image, side) for image in images])
        prepared = time.perf_counter()
        (probabilities,) = self._runtime.forward(batch)
        inferred = time.perf_counter()
        self._count(len(images), start, prepared, inferred)
        return [Classification(each) for each in probabilities]

    def _count(self, images: int, start: float, prepared: float, inferred: float) -> None:
        """Add to the timings; the last stage ends now."""
        self.timings.images += images
        self.timings.preprocess += prepared - start
        self.timings.inference += inferred - prepared
        self.timings.postprocess += time.perf_counter() - inferred


def _canvas(sources: Sequence[tuple[int, int]], imgsz: int, stride: int, rect: bool, pad: float) -> tuple[int, int]:
    """The network's input (height, width) for images of these shapes together."""
    if not rect:
        return imgsz, imgsz
    shapes = [rect_shape(source, imgsz, stride, pad) for source in sources]
    return max(height for height, _ in shapes), max(width for _, width in shapes)


def open_detector(model: str, device: str = "auto", half: bool = False) -> Detector:
    """Load a model by its suffix (see `SUFFIXES`) or reach a served one (triton://host:port/name).

    device: auto, cpu, cuda or cuda:N. half: half precision, which only a checkpoint can still choose.
    Raises ModelError for a file that is missing, broken or of an unknown kind, ServiceError for a server
    that doesn't answer, UsageError for a device or precision that is not to be had.
    """
    if half and not model.endswith(".pt"):
        raise UsageError(f"half=True: {model} has the precision that it was exported in; give half=False")
    if model.startswith(TRITON_SCHEMES):
        from yolocore.runtimes.triton import TritonDetector

        return TritonDetector(model)
    path = Path(model)
    if path.suffix not in SUFFIXES.values():
        kinds = ", ".join(SUFFIXES.values())
        raise ModelError(f"model={model}: unknown kind; give one of {kinds}, or triton://host:port/name")
    folder = path.suffix == SUFFIXES["openvino"]
    if not (path.is_dir() if folder else path.is_file()):
        raise ModelError(f"model={model}: no such file; train or export one first, or correct the path")
    if folder:
        from yolocore.runtimes.openvino import OpenVinoRuntime

        return LocalDetector(OpenVinoRuntime(path, device=device))
    if path.suffix == SUFFIXES["onnx"]:
        from yolocore.runtimes.onnx import OnnxRuntime

        return LocalDetector(OnnxRuntime(path, device=device))
    from yolocore.runtimes.torch import TorchRuntime

    return LocalDetector(TorchRuntime(path, device, half))


def check_task(model: str, meta: ModelMeta, task: Task | None) -> None:
    """Raises ModelError where the model called `model` is not for the task; None: any will do."""
    if task not in (None, meta.task):
        raise ModelError(f"task={task}: {model} is for {meta.task}; leave task= out, or give a model for {task}")


def engine_versions(model: str) -> dict[str, str]:
    """Versions of the libraries that decide what `open_detector(model)` finds."""
    versions = {"numpy": np.__version__, "opencv": cv2.__version__}
    engine = {".pt": "torch", ".onnx": "onnxruntime", ".openvino": "openvino"}.get(Path(model).suffix)
    if engine:
        versions[engine] = importlib.metadata.version(engine)
    return versions
