"""Run a pipeline on this machine, without a cluster, by Kubeflow's subprocess runner.

    python -m pipelines.run_local params=params.yaml pipeline_source=data/mine train_epochs=3
    python -m pipelines.run_local pipeline=evaluation evaluation_model=runs/train evaluation_source=data/mine

Keys are the parameters of the pipeline's form; `params` gives the values of those that are left out, and
`root` is the folder for artifacts (default: runs/kubeflow). Steps run in this environment.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from pipelines.request import read_pipeline
from yolocore.errors import YoloError
from yolocore.modes.request import read_keys
from yolocore.views.ending import exit_code
from yolocore.views.report import show


def main(words: Sequence[str]) -> int:
    """Run the pipeline with 'key=value' words; returns the exit code."""
    return exit_code("run_local", lambda: run(**read_keys(words)))


def run(root: str = "runs/kubeflow", **keys: str) -> None:
    """Run a pipeline to its end. Raises what `read_pipeline` does, and YoloError when a step fails."""
    request = read_pipeline(**keys)
    from kfp import local

    name = f"local-{uuid.uuid4().hex[:12]}"
    folder = Path(root) / name
    os.environ["YOLO_PIPELINE"] = name
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder.absolute()))
    try:
        request.function(**request.arguments)
    except RuntimeError:  # the step has already printed its one line
        raise YoloError("a step failed; its message stands above") from None
    show(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
