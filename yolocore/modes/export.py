"""export: a checkpoint becomes the files that other programs run, each proven on real images.

1. write the network in the format, and as ONNX around one for detect the served model
2. compare each with the checkpoint; without parity nothing is published
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from yolocore.config import ExportConfig
from yolocore.data import open_dataset
from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.errors import DataError
from yolocore.export.onnx import PREDICTION, network_model
from yolocore.export.parity import network_candidate, prove, serving_candidate
from yolocore.export.serving import serving_model
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import load_weights
from yolocore.modes.inputs import ExportInputs, model_digest
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import ExportRecord
from yolocore.runtimes.base import SUFFIXES, Runtime
from yolocore.runtimes.detector import Image
from yolocore.runtimes.onnx import OnnxRuntime
from yolocore.runtimes.torch import TorchRuntime

SERVING = "serving.onnx"
_SPLIT = "val"
_ENGINES = {"onnx": ("onnxruntime",), "openvino": ("openvino",)}  # libraries that run each format


def export(config: ExportConfig, inputs: ExportInputs, out: Path, listener: Listener = SILENT) -> ExportRecord:
    """Write `model.onnx` or `model.openvino` (the network) and, for detect as ONNX, `serving.onnx` (from an image
    to its boxes) into `out`.

    Raises ModelError for a checkpoint that cannot be read, DataError for a dataset without val images,
    RefusedError when an export does not answer as the checkpoint does. `out` is then as it was before.
    """
    split = open_dataset(inputs.data).split(_SPLIT)
    if not len(split):
        raise DataError(f"data={inputs.data}: its split {_SPLIT!r} has no images to compare the export on")
    digests = {"model": model_digest(inputs.model), "data": split.digest}
    with Step(ExportRecord, config, digests, out) as step:
        if step.finished:
            return step.finished
        model, meta = load_weights(inputs.model)
        meta = meta.model_copy(update={"imgsz": config.imgsz or meta.imgsz})

        served = meta.task == "detect" and config.format == "onnx"
        listener.start("export", 1 + served)
        network = network_model(model, meta, dynamic=config.dynamic, simplify=config.simplify, opset=config.opset)
        file = "model" + SUFFIXES[config.format]
        runtime = _written(network, meta, step.work / file)
        listener.advance()
        candidates = [network_candidate(file, runtime, config)]
        artifacts = {"model": file}
        if served:
            # A server batches as it likes, whatever the network alone was fixed to.
            batching = network
            if not config.dynamic:
                batching = network_model(model, meta, dynamic=True, simplify=config.simplify, opset=config.opset)
            serving = serving_model(batching, meta, conf=config.conf, iou=config.iou, max_det=config.max_det)
            onnx.save(serving, step.work / SERVING)
            listener.advance()
            candidates.append(serving_candidate(SERVING, serving, PREDICTION))
            artifacts["serving"] = SERVING

        images = _evenly(split, config.parity_images, listener)
        parity = prove(TorchRuntime.of(model, meta), candidates, images, config)
        for row in parity:
            listener.note(
                f"{row.model}: {row.boxes} boxes on {row.images} images agree, IoU >= {row.worst_iou}, "
                f"numbers within {row.raw_pixels} pixels and {row.raw_score}"
            )
        return step.publish(
            metrics={
                f"{row.model}/{name}": getattr(row, name)
                for row in parity
                for name in ("worst_iou", "worst_score", "raw_score", "raw_pixels")
            },
            artifacts=artifacts,
            versions={name: version(name) for name in ("torch", "onnx", "onnxslim", *_ENGINES[config.format])},
            format=config.format,
            task=meta.task,
            parity=parity,
        )


def _written(network: onnx.ModelProto, meta: ModelMeta, path: Path) -> Runtime:
    """Write the network in the format that the path's suffix says, and load what was written."""
    if path.suffix == SUFFIXES["onnx"]:
        onnx.save(network, path)
        return OnnxRuntime(path, device="cpu")
    # Only here, since no other format needs it.
    from yolocore.export.openvino import save_openvino
    from yolocore.runtimes.openvino import OpenVinoRuntime

    save_openvino(network, meta, path)
    return OpenVinoRuntime(path, device="cpu")


def _evenly(split: Split, count: int, listener: Listener) -> Iterator[tuple[str, Image]]:
    """Names and pixels of up to count images from all over the split."""
    chosen = np.unique(np.linspace(0, len(split) - 1, count).astype(int)).tolist()
    listener.start("compare", len(chosen))
    for index in chosen:
        yield split.names[index], decode_image(split.image(index), split.where(index))
        listener.advance()
