"""Run a pipeline on this machine, without a cluster, by Kubeflow's local runners.

    python -m pipelines.run_local params=params.yaml pipeline_source=data/mine train_epochs=3
    python -m pipelines.run_local pipeline=evaluation evaluation_model=runs/train evaluation_source=data/mine
    python -m pipelines.run_local runner=docker

Keys are the parameters of the pipeline's form; `params` gives the values of those that are left out, and
`root` is the folder for artifacts (default: runs/kubeflow). Steps run in this environment, or with
runner=docker each in its own image (`make images`), with the working directory as /yolo.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.request import PipelineRequest, read_pipeline
from yolocore.config.describe import unknown
from yolocore.errors import ServiceError, UsageError, YoloError
from yolocore.modes.request import read_keys
from yolocore.views.ending import exit_code
from yolocore.views.report import show

RUNNERS = ("subprocess", "docker")
REPOSITORY = "serving"  # of deploy, in the working directory


def main(words: Sequence[str]) -> int:
    """Run the pipeline with 'key=value' words; returns the exit code."""
    return exit_code("run_local", lambda: run(**read_keys(words)))


def run(root: str = "runs/kubeflow", runner: str = "subprocess", **keys: str) -> None:
    """Run a pipeline to its end.

    Raises what `read_pipeline` does, ServiceError when docker does not answer or lacks an image, and YoloError when
    a step fails.
    """
    if runner not in RUNNERS:
        raise UsageError(unknown("runner", runner, RUNNERS))
    request = read_pipeline(**keys)
    from kfp import local

    name = f"local-{uuid.uuid4().hex[:12]}"
    folder = Path(root) / name
    with contextlib.ExitStack() as stack:
        if runner == "docker":
            _check_images(request)
            chosen: Any = local.DockerRunner(**_restricted(name))
            folder.mkdir(parents=True)  # else it is made by docker, and belongs to root
            _serve(stack, request, folder)
        else:
            chosen = local.SubprocessRunner(use_venv=False)
            os.environ["YOLO_PIPELINE"] = name
        local.init(chosen, pipeline_root=str(folder.absolute()))
        _tried_once(request.function.pipeline_spec)
        try:
            request.function(**request.arguments)
        except RuntimeError:  # the step has already printed its one line
            raise YoloError("a step failed; its message stands above") from None
    show(folder)


def _tried_once(spec: Any) -> None:
    """Take the retries out of a pipeline's specification: whoever runs it here wants to hear at once what failed."""
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            task.ClearField("retry_policy")


def _restricted(name: str) -> dict[str, Any]:
    """How docker runs a step: as a cluster does that allows no more than it must. name: of the pipeline run."""
    from docker.types import Mount

    return {
        "entrypoint": "",  # a step is started by Kubeflow's executor
        # Of a checkout that is the working directory, nothing is imported: what runs is the image's.
        "environment": {"YOLO_PIPELINE": name, "PYTHONSAFEPATH": "1"},
        "working_dir": "/yolo",
        "mounts": [Mount("/yolo", str(Path.cwd()), type="bind")],
        "tmpfs": {"/tmp": "exec,mode=1777"},
        "network_mode": "host",  # the server that deploy speaks to runs here
        "user": f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }


def _check_images(request: PipelineRequest) -> None:
    """Kubeflow would look for a missing image in a public registry, and fail with pages of text."""
    import docker

    try:
        client = docker.from_env()
        for image in sorted(request.images()):
            client.images.get(image)
    except docker.errors.ImageNotFound:
        raise ServiceError(f"runner=docker: there is no image {image}; build it first: make images") from None
    except docker.errors.DockerException as error:
        reason = " ".join(str(error).split())[:200]
        raise ServiceError(f"runner=docker: does not answer ({reason}); start it, or leave out runner=") from None


def _serve(stack: contextlib.ExitStack, request: PipelineRequest, folder: Path) -> None:
    """A Triton server for the time of the run, if the pipeline deploys: the image of deploy has none."""
    if "deploy_port" not in request.arguments:
        return
    from yolocore.serve.server import Endpoint, attached_or_running

    endpoint = Endpoint(request.arguments["deploy_host"], request.arguments["deploy_port"])
    repository = Path(REPOSITORY).absolute()
    repository.mkdir(exist_ok=True)
    stack.enter_context(attached_or_running(repository, endpoint, log=folder / "triton.log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
