"""What an export step has left for serving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolocore.errors import ModelError
from yolocore.meta import ModelMeta
from yolocore.records import ExportRecord
from yolocore.runtimes.served import ServingInfo

NETWORK, SERVING = "model.onnx", "serving.onnx"


@dataclass(frozen=True)
class Exported:
    """checkpoint: digest of what was exported. network, serving: the files. conf, iou, max_det: what is built into the
    served model."""

    checkpoint: str
    network: Path
    serving: Path
    conf: float
    iou: float
    max_det: int

    @classmethod
    def read(cls, folder: Path, given_as: str = "exported") -> Exported:
        """given_as: the input that names the folder.

        Raises DataError for a folder of no export, ModelError for one that cannot be served.
        """
        record = ExportRecord.load(folder)
        if record.task != "detect":
            raise ModelError(f"{given_as}={folder}: is a model for {record.task}; only models for detect can be served")
        for file in (NETWORK, SERVING):
            if not (folder / file).is_file():
                raise ModelError(f"{given_as}={folder}: holds no {file}; run yolo export again")
        limits = {key: record.config[key] for key in ("conf", "iou", "max_det")}
        return cls(record.inputs["model"], folder / NETWORK, folder / SERVING, **limits)

    def info(self, meta: ModelMeta) -> ServingInfo:
        """meta: what the files say of the model."""
        return ServingInfo(meta=meta, conf=self.conf, iou=self.iou, max_det=self.max_det)
