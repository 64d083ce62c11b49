"""What runs on the nodes of a TrainJob: the train step, with a store in place of a disk that all of them share.

    torchrun -m yolocore.component.node job=NAME version=0.1.0 data=sha256:… model=yolo11n epochs=100 …

Keys are those of `yolo train`. An input is an architecture, or a name of what lies in the object store: each node
brings it to its own disk. Of all processes that torchrun starts, on all nodes, the first leaves the result in the
store, and last a pointer under the job's name; one that fails for good leaves its verdict there. So a job that is
started once more, for a node that went, does nothing where it has ended, and else goes on from what was saved.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yolocore
from yolocore.component.handover import brought_here, hand_over
from yolocore.component.verdict import judged
from yolocore.errors import UsageError
from yolocore.modes import run
from yolocore.modes.request import read_keys, read_request
from yolocore.progress import SILENT, Listener
from yolocore.records import Record
from yolocore.store import ObjectStore
from yolocore.store.objects import SETTING
from yolocore.views.ending import told
from yolocore.views.live import live

NAME = "yolo train"


def place(job: str) -> str:
    """What verdicts on a job are filed under."""
    return f"trainjob/{job}"


def finished(job: str) -> str:
    """The pointer to what a job has made: a folder as a step hands it over, without its artifacts."""
    return f"finished/{job}"


def main(words: Sequence[str]) -> int:
    """Train with 'key=value' words; returns the exit code."""
    job = next((word.removeprefix("job=") for word in words if word.startswith("job=")), "")

    def work(store: ObjectStore | None) -> None:
        keys = read_keys(words)
        if not keys.pop("job", ""):
            raise UsageError("job= is missing: under its name the result is found")
        theirs = keys.pop("version", yolocore.__version__)
        if theirs != yolocore.__version__:
            raise UsageError(
                f"version={theirs}: this image has {yolocore.__version__}; let the TrainingRuntime name one of {theirs}"
            )
        if store is None:
            raise UsageError(f"{SETTING} is not set: the result would go with this node; set it to s3://bucket/prefix")
        if store.get(finished(job)):
            return
        request = read_request("train", {**keys, "out": f"runs/{job}"})
        first = os.environ.get("RANK", "0") == "0"
        with live() if first else contextlib.nullcontext(SILENT) as listener:
            request = replace(request, inputs=brought_here(store, request.inputs, listener))
            record = run(request, listener)
            if first:
                publish(store, job, request.out, record, listener)

    return told(judged(NAME, place(job), work))


def publish(store: ObjectStore, job: str, out: Path, record: Record, listener: Listener) -> None:
    """Leave what a job has made in the store: its artifacts, what a step leaves beside them, and the pointer last."""
    hand_over(store, out, record, listener)
    store.put(finished(job), store.push(out, listener=listener))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
