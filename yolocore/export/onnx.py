"""The network alone as ONNX: the input and output of `Runtime.forward`, in one file that is always the same.

PyTorch's TorchScript exporter is deprecated, yet it is the one that writes a single file, takes a tenth
of the time, and gives the same bytes for the same weights.
"""

from __future__ import annotations

import tempfile
import warnings

import onnx
import onnxslim
import torch
from onnx import helper

from yolocore.meta import ModelMeta
from yolocore.model.fuse import fuse
from yolocore.model.yolo11 import YOLO11
from yolocore.runtimes.base import META_KEY, columns

IMAGES, PREDICTION, PROTOTYPES = "images", "prediction", "prototypes"


def network_model(
    model: YOLO11, meta: ModelMeta, *, dynamic: bool = True, simplify: bool = True, opset: int = 20
) -> onnx.ModelProto:
    """The network with its normalisations fused, as an ONNX model that carries `meta`.

    Input `images`: float32 (B, 3, H, W) RGB in 0..1. Outputs float32, see `yolocore.runtimes.base.Runtime`:
    `prediction` (B, 4 + nc + e, N), or (B, nc) for classify; for segment also `prototypes` (B, 32, H/4, W/4).
    dynamic: any B, and any H and W that are multiples of meta.stride; otherwise B is 1 and H and W are meta.imgsz.
    simplify: fold what is constant and fuse nodes. opset: ONNX operator set, 18 to 20.
    """
    # Traced with odd numbers: a size that the tracer froze by mistake could not pass for the usual one.
    axes = _dynamic_axes(meta)
    shape = (2, 3, 3 * meta.stride, 5 * meta.stride) if dynamic else (1, 3, meta.imgsz, meta.imgsz)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            fuse(model),
            (torch.zeros(shape),),
            file.name,
            dynamo=False,
            opset_version=opset,
            input_names=[IMAGES],
            output_names=[name for name in axes if name != IMAGES],
            dynamic_axes=axes if dynamic else None,
        )
        network = onnx.load(file.name)
    if simplify:
        # Shapes are inferred by symbol only to be forgotten below: it takes most of the time and folds nothing more.
        network = onnxslim.slim(network, no_shape_infer=True)
    # What the tracer noted of inner shapes is long, of no use to any engine, and may be from the traced size.
    del network.graph.value_info[:]
    network.graph.output[0].type.tensor_type.shape.dim[1].dim_value = columns(meta)
    helper.set_model_props(network, {META_KEY: meta.model_dump_json()})
    onnx.checker.check_model(network, full_check=True)
    return network


def _dynamic_axes(meta: ModelMeta) -> dict[str, dict[int, str]]:
    """Names of the dimensions that may vary, of the input and then of each output."""
    axes = {IMAGES: {0: "batch", 2: "height", 3: "width"}, PREDICTION: {0: "batch", 2: "anchors"}}
    if meta.task == "classify":
        del axes[PREDICTION][2]
    if meta.task == "segment":
        axes[PROTOTYPES] = {0: "batch", 2: "rows", 3: "columns"}
    return axes
