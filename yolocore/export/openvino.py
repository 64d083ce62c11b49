"""The network alone in OpenVINO's form: a folder of its graph and its weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import openvino

from yolocore.meta import ModelMeta
from yolocore.runtimes.base import META_KEY
from yolocore.runtimes.openvino import NETWORK, core


def save_openvino(network: onnx.ModelProto, meta: ModelMeta, folder: Path) -> None:
    """Write what `network_model` made into a new folder; same inputs and outputs, float32, with `meta` in it.

    It is read by the runtime's own reader of ONNX: the converter that OpenVINO ships reports its use to its makers.
    """
    model = core().read_model(network.SerializeToString())
    model.set_rt_info(meta.model_dump_json(), META_KEY)
    folder.mkdir()
    openvino.save_model(model, folder / NETWORK, compress_to_fp16=False)
