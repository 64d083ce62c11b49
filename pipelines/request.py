"""From loose keys, as people write them, to a pipeline and the values of its form."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipelines import PIPELINES
from pipelines.form import Sections, arguments, fields
from pipelines.package import documents
from yolocore.config import Section, Tree, load_tree
from yolocore.config.describe import unknown
from yolocore.errors import UsageError
from yolocore.modes.request import validate


@dataclass(frozen=True)
class PipelineRequest:
    """A pipeline with the values of its form, as Kubeflow carries them."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]

    def images(self) -> set[str]:
        """Names and tags of the images that its steps run in."""
        executors = documents(self.name, "")[0]["deploymentSpec"]["executors"].values()
        return {executor["container"]["image"] for executor in executors if "container" in executor}


def read_pipeline(
    pipeline: str = "training", params: str = "", *, defaults: Mapping[str, Any] = MappingProxyType({}), **keys: str
) -> PipelineRequest:
    """pipeline: its name. params: a params.yaml with the values of what is left out. keys: the parameters of its form.
    defaults: values of parameters, where its form has them, that keys override.

    Raises UsageError for an unknown name, and for a value that is missing or out of range.
    """
    if pipeline not in PIPELINES:
        raise UsageError(unknown("pipeline", pipeline, PIPELINES))
    module = importlib.import_module(f"pipelines.{pipeline}")
    asked = fields(module.SECTIONS)
    keys = {**{key: value for key, value in defaults.items() if key in asked}, **keys}
    settings = _settings(module.SECTIONS, load_tree(params) if params else Tree(), keys)
    return PipelineRequest(pipeline, getattr(module, pipeline), arguments(settings))


def _settings(sections: Sections, tree: Tree, keys: Mapping[str, str]) -> dict[str, Section]:
    """The values of a pipeline's sections: those of the tree where it has them, with 'section_name' keys laid over."""
    known = fields(sections)
    values = {section: dict(getattr(tree, section, {})) for section in sections}
    for key, text in keys.items():
        if key not in known:
            raise UsageError(unknown("parameter", key, known))
        section, name = known[key]
        values[section][name] = text
    for key, (section, name) in known.items():
        field = sections[section].model_fields[name]
        if field.is_required() and name not in values[section]:
            raise UsageError(f"{key}= is missing: {field.description}")
    return {section: validate(kind, values[section]) for section, kind in sections.items()}
