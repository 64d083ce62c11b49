"""The typed JSON document that each step leaves behind: what went in, what came out, what was measured.

Everything people look at later (plots, MLflow runs, pipeline metrics, the report) is a view of records.
All that depends on the clock or the machine's speed stands under `timings`; without it, the same
inputs give the same bytes (`canonical`) through every door and on every machine of a kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yolocore.config import canonical_json
from yolocore.errors import DataError
from yolocore.meta import Task
from yolocore.store import bytes_digest

FILE_NAME = "record.json"
# Beside a record of val: {"classes": […], "matrix": [[…]], "roc": […]}, a row for each true class, and for each
# confidence [false positive rate, true positive rate, confidence].
CONFUSION = "confusion.json"


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Artifact(_Document):
    """A file or folder that other steps build on, relative to the record's folder."""

    path: str
    digest: str
    bytes: int


class Record(_Document):
    """What all records share. Subclasses fix `mode` and add their own findings."""

    mode: ClassVar[str]

    schema_version: Literal[1] = 1
    step: str = Field(description="the mode that ran")
    key: str = Field(description="digest of mode, program version, config and inputs: the step's identity")
    program: str = Field(description="version of yolocore")
    config: dict[str, Any] = Field(description="the settings that decided the result")
    inputs: dict[str, str] = Field(description="digest of each input by name")
    artifacts: dict[str, Artifact] = Field(description="what other steps build on, by name")
    views: tuple[str, ...] = Field(description="pictures, tables and texts for people, relative paths")
    metrics: dict[str, float] = Field(description="figures by name")
    versions: dict[str, str] = Field(description="versions of the libraries that decided the result")
    timings: dict[str, float] = Field(description="seconds, rates and memory; differ between runs")

    def canonical(self) -> bytes:
        """The record's bytes without `timings`: equal for equal inputs."""
        return canonical_json(self.model_dump(mode="json", exclude={"timings"}))

    def digest(self) -> str:
        return bytes_digest(self.canonical())

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `record.json` of a finished step. Raises DataError that names the file."""
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise DataError(f"{folder}: holds no {FILE_NAME}; run the step that makes it first") from None
        except ValidationError as error:
            raise DataError(f"{path}: is no record of {cls.mode} ({error.errors()[0]['msg']})") from None


class IngestRecord(Record):
    mode: ClassVar[str] = "ingest"
    dataset: str = Field(description="digest of the dataset's content")
    images: dict[str, int] = Field(description="images by split")
    objects: dict[str, int] = Field(description="labelled objects by class")
    dropped: dict[str, int] = Field(description="images and labels left out, by reason")


class TrainRecord(Record):
    mode: ClassVar[str] = "train"
    batch: int | None = Field(None, description="images per step, over all processes; what memory held for batch=-1")
    epochs: int = Field(description="epochs that ran")
    best_epoch: int = Field(description="epoch (from 1) of the best weights")
    fitness: float = Field(description="the figure by which epochs are compared, of the best weights on val")


class TuneRecord(Record):
    mode: ClassVar[str] = "tune"
    trials: int = Field(description="trainings")
    best_trial: int = Field(description="number (from 1) of the one with the highest fitness")
    best: dict[str, float] = Field(description="its values of the settings that were searched")


class ValRecord(Record):
    mode: ClassVar[str] = "val"
    per_class: dict[str, dict[str, float]] = Field(description="figures of each class that has labels")


class PredictRecord(Record):
    mode: ClassVar[str] = "predict"
    frames: int = Field(description="images and video frames seen")
    objects: dict[str, int] = Field(description="objects found by class; images by their best class for classify")


class ParityRow(_Document):
    """An exported model against its checkpoint on real images."""

    model: str = Field(description="file of the exported model")
    images: int = Field(description="images that were compared")
    boxes: int = Field(description="boxes that the checkpoint found in them")
    unmatched: int = Field(description="boxes of one side only, by a choice between values as good as equal")
    worst_iou: float = Field(description="lowest IoU of a matched pair")
    worst_score: float = Field(description="largest difference of score of a matched pair")
    raw_score: float = Field(
        description="largest difference, for the same pixels, of a score, an angle, or a mask's number (as a share)"
    )
    raw_pixels: float = Field(description="largest difference, for the same pixels, of a box or keypoint in pixels")


class ExportRecord(Record):
    mode: ClassVar[str] = "export"
    format: str
    task: Task = Field("detect", description="what the model is for")
    parity: tuple[ParityRow, ...]


class BenchmarkRow(_Document):
    """Accuracy and size of one format; its speed and memory stand in the record's timings."""

    format: str
    megabytes: float
    accuracy: dict[str, float] = Field(description="figures of the task by name")


class BenchmarkRecord(Record):
    mode: ClassVar[str] = "benchmark"
    rows: tuple[BenchmarkRow, ...]


class GateRecord(Record):
    """Only a model that passed has one."""

    mode: ClassVar[str] = "gate"
    challenger: str = Field(description="digest of the model repository entry that deployment makes of it")
    champion: str = Field(description="digest of the champion's entry; empty: there was none")
    per_class: dict[str, dict[str, float]] = Field(description="figures of each class that has labels, of both models")


class DeployRecord(Record):
    mode: ClassVar[str] = "deploy"
    model_name: str = Field(description="name that clients ask for")
    served_digest: str = Field(description="digest of the model repository entry that serves")


class TrackRecord(Record):
    mode: ClassVar[str] = "track"
    frames: int = Field(description="frames of the video that were used")
    tracks: int = Field(description="identities")


RECORDS: dict[str, type[Record]] = {cls.mode: cls for cls in Record.__subclasses__()}


def load_record(folder: Path) -> Record:
    """Read a record of whatever mode. Raises DataError as `Record.load` does."""
    import json

    path = folder / FILE_NAME
    try:
        step = json.loads(path.read_bytes())["step"]
    except FileNotFoundError:
        raise DataError(f"{folder}: holds no {FILE_NAME}; run the step that makes it first") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is no record; run the step again") from None
    if step not in RECORDS:
        raise DataError(f"{path}: is a record of the unknown mode {step!r}")
    return RECORDS[step].load(folder)
