"""What each mode takes besides its settings: paths, URIs and names of artifacts, and their digests.

Inputs enter a step's identity by their content and never by their path, so that a moved dataset is
still the same dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from yolocore.config import Section
from yolocore.errors import DataError, ModelError
from yolocore.meta import SUFFIXES, architecture
from yolocore.records import FILE_NAME, load_record
from yolocore.store import file_digest, json_digest, tree_digest

DEMO, DEMO_CLASSIFY = "demo", "demo-classify"  # the sources that are built in: with objects, and of class folders
_NAMES = "yolo11n to yolo11x, with " + ", ".join(filter(None, SUFFIXES.values())) + " behind it for tasks but detect"


def _required(description: str) -> Any:
    return Field(..., description=description)


def _made_model(model: str) -> str:
    """A step's folder stands for the model that it made. Raises ModelError for a step that makes none."""
    folder = Path(model)
    if not (folder / FILE_NAME).is_file():
        return model
    record = load_record(folder)
    for name in ("best", "model"):  # of train, of export
        if name in record.artifacts:
            return str(folder / record.artifacts[name].path)
    raise ModelError(
        f"model={model}: is the folder of a {record.step} step, which makes no model; give train's or export's"
    )


ModelName = Annotated[str, AfterValidator(_made_model)]


class IngestInputs(Section):
    source: str = _required(
        "images and labels: folder, archive, URI (http, https, s3), digest of the object store, demo or demo-classify"
    )


class TrainInputs(Section):
    data: str = _required("ingested dataset, a dataset.yaml in YOLO form, or class folders")
    model: ModelName = Field("yolo11n", description=f"checkpoint to start from, or an architecture: {_NAMES}")


class TuneInputs(TrainInputs):
    """What every one of the trainings is given."""


class ValInputs(Section):
    model: ModelName = _required(
        "checkpoint, exported model, folder of a train or export step, or triton://host:port/name"
    )
    data: str = _required("ingested dataset, a dataset.yaml in YOLO form, or class folders")


class PredictInputs(Section):
    model: ModelName = _required(
        "checkpoint, exported model, folder of a train or export step, or triton://host:port/name"
    )
    source: str = _required("image, video, folder, glob, list of paths, webcam index or stream URL")


class ExportInputs(Section):
    model: ModelName = _required("checkpoint")
    data: str = _required("dataset whose val images prove that the export is the same model")


class BenchmarkInputs(Section):
    model: ModelName = _required("checkpoint, or an exported model")
    data: str = _required("ingested dataset, a dataset.yaml in YOLO form, or class folders")
    exported: tuple[str, ...] = Field(
        (), description="folders of the model's export steps, one a format; empty: exported for the occasion"
    )


class GateInputs(Section):
    exported: str = _required("folder of the challenger's export step")
    data: str = _required("dataset on which challenger and champion are compared")
    benchmark: str = Field("", description="folder of the challenger's benchmark step; empty: latency does not count")
    champion: str = Field(
        "", description="folder of an export step, or triton://host:port/name; empty: what the repository serves"
    )
    repository: str = Field("serving", description="folder that holds the served models")


class DeployInputs(Section):
    exported: str = _required("folder of an export step")
    data: str = _required("dataset on which the served model is verified")
    repository: str = Field("serving", description="folder that holds the served models, kept between deployments")


class TrackInputs(Section):
    model: ModelName = _required(
        "checkpoint, exported model, folder of a train or export step, or triton://host:port/name"
    )
    source: str = _required("video file, webcam index or stream URL; demo: the built-in video")


class ConvertInputs(Section):
    """What `yolo convert` takes; it has no settings."""

    model: ModelName = _required("checkpoint")
    out: str = Field(..., description="file of the converted checkpoint", min_length=1)


def model_digest(model: str) -> str:
    """Digest of a model however it is named: by content, by architecture, or as its server states it.

    Raises ModelError for a path that does not exist.
    """
    if model.startswith(("triton://", "triton+grpc://")):
        from yolocore.runtimes.triton import served_digest

        return served_digest(model)
    if architecture(model):
        return json_digest({"architecture": model})
    path = Path(model)
    if not path.exists():
        raise ModelError(f"model={model}: no such file; give a checkpoint, an exported model, or one of {_NAMES}")
    return tree_digest(path)


def source_digest(source: str) -> str:
    """Digest of a predict or track source: a file's or folder's content, else the text itself (a stream)."""
    path = Path(source)
    if path.is_file():
        return file_digest(path)
    if path.is_dir():
        return tree_digest(path)
    if "://" in source or source.isdigit() or any(c in source for c in "*?["):
        return json_digest({"source": source})
    raise DataError(f"source={source}: no such file or folder")
