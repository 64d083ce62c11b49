"""From loose keys, as people write them, to one mode's typed settings and inputs.

Every door ends up here: `epochs=3` on the command line, `train(epochs=3)` in Python, a form's field in
Kubeflow. Values may be typed or text; pydantic reads numbers and switches from text, and the two forms
that it cannot know (a list, nothing) are read here: `classes=0,2` or `[0,2]`, `imgsz=None` or `imgsz=`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from yolocore.config import MODES, Section, explain, load_tree, section_class
from yolocore.config.describe import unknown
from yolocore.errors import UsageError
from yolocore.modes.inputs import (
    BenchmarkInputs,
    DeployInputs,
    ExportInputs,
    GateInputs,
    IngestInputs,
    PredictInputs,
    TrackInputs,
    TrainInputs,
    TuneInputs,
    ValInputs,
)
from yolocore.store import json_digest

S = TypeVar("S", bound=Section)

INPUTS: dict[str, type[Section]] = {
    "ingest": IngestInputs,
    "train": TrainInputs,
    "tune": TuneInputs,
    "val": ValInputs,
    "predict": PredictInputs,
    "export": ExportInputs,
    "benchmark": BenchmarkInputs,
    "gate": GateInputs,
    "deploy": DeployInputs,
    "track": TrackInputs,
}

# Keys that belong to the request and to no mode; help shows these texts.
REQUEST_KEYS = {
    "out": "folder of the result (default: runs/MODE)",
    "params": "params.yaml whose section for this mode gives the settings; keys beside it override them",
    "pipeline": "name of the pipeline run that this step is tracked under in MLflow",
}


@dataclass(frozen=True)
class Request:
    """One step to run. `pipeline` is the identity of the pipeline run it belongs to; empty for a step on its own."""

    mode: str
    config: Section
    inputs: Section
    out: Path
    pipeline: str = ""

    def identity(self) -> str:
        """Digest of what is asked for, before any input is read: the same command has the same one."""
        return json_digest(
            {
                "mode": self.mode,
                "config": self.config.identity(),
                "inputs": self.inputs.model_dump(mode="json"),
                "out": str(self.out.absolute()),
                "pipeline": self.pipeline,
            }
        )


def read_request(mode: str, keys: Mapping[str, Any]) -> Request:
    """Check keys and values of one mode. Raises UsageError that names the key, the value and what is valid.

    An orchestrator names its run in YOLO_PIPELINE, so that the name is no input that would spoil its cache.
    """
    if mode not in MODES:
        raise UsageError(unknown("mode", mode, MODES))
    config_class, inputs_class = section_class(mode), INPUTS[mode]
    known = {**inputs_class.model_fields, **config_class.model_fields, **REQUEST_KEYS}
    for key in keys:
        if key not in known:
            raise UsageError(unknown("key", key, known))

    settings: dict[str, Any] = {}
    pipeline = str(keys.get("pipeline") or os.environ.get("YOLO_PIPELINE") or "")
    if not re.fullmatch(r"[\w.:/-]*", pipeline):
        raise UsageError(f"pipeline={pipeline!r}: a name has letters, digits, and any of . : / _ -")
    if keys.get("params"):
        tree = load_tree(str(keys["params"]))
        settings = dict(getattr(tree, mode))
        if not pipeline:
            from yolocore.lineage.runs import pipeline_of

            pipeline = pipeline_of(tree)
    settings |= {key: value for key, value in keys.items() if key in config_class.model_fields}
    inputs = {key: value for key, value in keys.items() if key in inputs_class.model_fields}
    return Request(
        mode=mode,
        config=validate(config_class, settings),
        inputs=validate(inputs_class, inputs),
        out=Path(keys.get("out") or f"runs/{mode}"),
        pipeline=pipeline,
    )


def read_keys(words: Sequence[str]) -> dict[str, str]:
    """'key=value' words as a dict. Raises UsageError for a word of another form, or a key that comes twice."""
    keys: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not of the form key=value")
        if key in keys:
            raise UsageError(f"{key}= is given twice")
        keys[key] = value
    return keys


def validate(section: type[S], values: Mapping[str, Any]) -> S:
    """A section from typed or textual values. Raises UsageError that names the key, the value and the reason."""
    fields = section.model_fields
    try:
        return section.model_validate(
            {name: _read(fields[name], value) if name in fields else value for name, value in values.items()}
        )
    except ValidationError as error:
        raise UsageError(explain(error, section)) from None


def _read(field: FieldInfo, value: Any) -> Any:
    """Read text that stands for nothing or for a list; leave everything else to pydantic."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or field.annotation is str:
        return value
    kinds = (field.annotation, *get_args(field.annotation))
    if type(None) in kinds and value.lower() in ("", "none", "null"):
        return None
    if any(get_origin(kind) is tuple for kind in kinds):
        return [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
    return value
