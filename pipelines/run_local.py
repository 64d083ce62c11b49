"""Run a pipeline on this machine, without a cluster, by Kubeflow's subprocess runner.

    python -m pipelines.run_local params=params.yaml pipeline_source=data/mine train_epochs=3
    python -m pipelines.run_local pipeline=evaluation evaluation_model=runs/train evaluation_source=data/mine

Keys are the parameters of the pipeline's form; `params` gives the values of those that are left out, and
`root` is the folder for artifacts (default: runs/kubeflow). Steps run in this environment.
"""

from __future__ import annotations

import importlib
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.form import Sections, arguments
from pipelines.generate import PIPELINES
from yolocore.config import Section, Tree, load_tree
from yolocore.errors import UsageError, YoloError
from yolocore.modes.request import nearest, read_keys, validate
from yolocore.views.ending import exit_code
from yolocore.views.report import show


def main(words: Sequence[str]) -> int:
    """Run the pipeline with 'key=value' words; returns the exit code."""
    return exit_code("run_local", lambda: run(**read_keys(words)))


def run(pipeline: str = "training", params: str = "", root: str = "runs/kubeflow", **keys: str) -> None:
    """Run a pipeline to its end. Raises UsageError for a wrong name or parameter, YoloError when a step fails."""
    if pipeline not in PIPELINES:
        raise UsageError(f"unknown pipeline {pipeline!r}; did you mean {nearest(pipeline, PIPELINES)!r}?")
    from kfp import local

    module = importlib.import_module(f"pipelines.{pipeline}")
    settings = _settings(module.SECTIONS, load_tree(params) if params else Tree(), keys)
    name = f"local-{uuid.uuid4().hex[:12]}"
    folder = Path(root) / name
    os.environ["YOLO_PIPELINE"] = name
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder.absolute()))
    try:
        getattr(module, pipeline)(**arguments(settings))
    except RuntimeError:  # the step has already printed its one line
        raise YoloError("a step failed; its message stands above") from None
    show(folder)


def _settings(sections: Sections, tree: Tree, keys: Mapping[str, str]) -> dict[str, Section]:
    """The values of a pipeline's sections: those of the tree where it has them, with 'section_name' keys laid over."""
    known = {f"{section}_{name}": (section, name) for section, kind in sections.items() for name in kind.model_fields}
    values = {section: dict(getattr(tree, section, {})) for section in sections}
    for key, text in keys.items():
        if key not in known:
            raise UsageError(f"unknown parameter {key!r}; did you mean {nearest(key, known)!r}?")
        section, name = known[key]
        values[section][name] = text
    for key, (section, name) in known.items():
        field = sections[section].model_fields[name]
        if field.is_required() and name not in values[section]:
            raise UsageError(f"{key}= is missing: {field.description}")
    return {section: validate(kind, values[section]) for section, kind in sections.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
