"""Run the training pipeline on this machine, without a cluster, by Kubeflow's subprocess runner.

    python -m pipelines.run_local params=params.yaml pipeline_source=data/mine train_epochs=3

Keys are the parameters of the pipeline's form; `params` gives the values of those that are left out, and
`root` is the folder for artifacts (default: runs/kubeflow). Steps run in this environment.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.form import arguments
from yolocore.config import Tree, load_tree
from yolocore.errors import UsageError, YoloError
from yolocore.modes.request import nearest, read_keys, validate
from yolocore.views.ending import exit_code
from yolocore.views.report import show


def main(words: Sequence[str]) -> int:
    """Run the pipeline with 'key=value' words; returns the exit code."""
    return exit_code("run_local", lambda: run(**read_keys(words)))


def run(params: str = "", root: str = "runs/kubeflow", **keys: str) -> None:
    """Run the pipeline to its end. Raises UsageError for a wrong parameter, YoloError when a step fails."""
    from kfp import local

    from pipelines.training import SECTIONS, training

    tree = _with_keys(load_tree(params) if params else Tree(), SECTIONS, keys)
    name = f"local-{uuid.uuid4().hex[:12]}"
    folder = Path(root) / name
    os.environ["YOLO_PIPELINE"] = name
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder.absolute()))
    try:
        training(**arguments(tree, SECTIONS))
    except RuntimeError:  # the step has already printed its one line
        raise YoloError("a step failed; its message stands above") from None
    show(folder)


def _with_keys(tree: Tree, sections: Sequence[str], keys: Mapping[str, str]) -> Tree:
    """The tree with 'section_name' keys laid over it."""
    known = {f"{section}_{name}": (section, name) for section in sections for name, _ in getattr(tree, section)}
    laid: dict[str, dict[str, str]] = {}
    for key, text in keys.items():
        if key not in known:
            raise UsageError(f"unknown parameter {key!r}; did you mean {nearest(key, known)!r}?")
        section, name = known[key]
        laid.setdefault(section, {})[name] = text
    changed = {s: validate(type(getattr(tree, s)), {**dict(getattr(tree, s)), **values}) for s, values in laid.items()}
    return tree.model_copy(update=changed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
