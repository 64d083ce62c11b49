"""One format of a model, timed in a process of its own.

A process of its own, because memory that one engine has taken is never quite given back, and because
`import torch` is part of what the torch format costs. Parent and child exchange lines of JSON over the
child's standard input and output: a `Job`, then lists of image numbers, answered by their seconds.
Several probes live at once and are asked in turn, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from yolocore import errors
from yolocore.errors import ModelError, YoloError

_MB = 1e6


@dataclass(frozen=True)
class Job:
    """What to run on what, apart from the model. imgsz: side of the square input in pixels."""

    device: str
    half: bool
    data: str
    split: str
    imgsz: int
    conf: float
    iou: float
    max_det: int


class Sample(NamedTuple):
    """Seconds of one image, decoded already: the stages, and all from pixels to what is found."""

    preprocess: float
    inference: float
    postprocess: float
    total: float


class Probe:
    """The parent's side. Use it in a `with`: leaving ends the child.

    load_seconds: from before the engine is imported until the model could run.
    memory: MB that engine, model and all images so far have added to the process at its highest.
    Raises what opening the model or the data raises; ModelError when the system kills the child.
    """

    load_seconds: float
    memory: float

    def __init__(self, model: str, job: Job, threads: int) -> None:
        """threads: CPU threads of one forward pass."""
        self._model = model
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        try:
            answer = self._ask({"model": model, "job": asdict(job)})
        except BaseException:
            self.close()
            raise
        self.load_seconds, self.memory = answer["load_seconds"], answer["memory"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def time(self, images: Sequence[int]) -> list[Sample]:
        """Look at these images of the split (they wrap around its end), one at a time."""
        answer = self._ask(list(images))
        self.memory = answer["memory"]
        return [Sample(*seconds) for seconds in answer["samples"]]

    def _ask(self, question: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):  # a dead child is noticed below
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._explain_death()
        answer = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return answer

    def _explain_death(self) -> None:
        code = self._process.wait()
        if code < 0:
            raise ModelError(
                f"model={self._model}: its process was killed by signal {-code}; give the machine more memory"
            )
        raise RuntimeError(f"benchmark process of {self._model} ended with code {code}; see its messages above")


def main() -> None:
    """The child's side: answers until its input ends."""
    questions, answers = sys.stdin, sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not stand between the answers
    try:
        setup = json.loads(questions.readline())
        for answer in _answers(setup["model"], Job(**setup["job"]), questions):
            print(json.dumps(answer), file=answers, flush=True)
    except YoloError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}), file=answers, flush=True)


def _answers(model: str, job: Job, questions: IO[str]) -> Iterator[dict[str, Any]]:
    from yolocore.data import open_dataset
    from yolocore.data.images import decode_image
    from yolocore.runtimes.detector import Timings, open_detector

    split = open_dataset(job.data).split(job.split)

    def picture(index: int) -> Any:
        return decode_image(split.image(index % len(split)), split.where(index % len(split)))

    picture(0)  # the decoder's own memory is no format's
    before = _memory("VmRSS")
    started = time.perf_counter()
    detector = open_detector(model, job.device, job.half)
    yield {"load_seconds": time.perf_counter() - started, "memory": _memory("VmHWM") - before}

    for line in questions:
        samples = []
        for index in json.loads(line):
            image = picture(index)
            detector.timings = timings = Timings()
            started = time.perf_counter()
            if detector.meta.task == "classify":
                detector.classify([image], imgsz=job.imgsz)
            else:
                detector.detect([image], conf=job.conf, iou=job.iou, max_det=job.max_det, imgsz=job.imgsz, rect=False)
            total = time.perf_counter() - started
            samples.append(Sample(timings.preprocess, timings.inference, timings.postprocess, total))
        yield {"samples": samples, "memory": _memory("VmHWM") - before}


def _memory(field: str) -> float:
    """MB that this process holds (VmRSS) or has held at most (VmHWM).

    From /proc, since getrusage's maximum is inherited from whatever process started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / _MB
    raise RuntimeError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
