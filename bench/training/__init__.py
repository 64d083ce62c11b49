"""Training beside the trainer that users come from: speed in turns, accuracy over seeds, distance from the roofline.

    python -m bench training --peer /path/to/python --data FOLDER --trained best.pt
    python -m bench training --accuracy --peer … --data … --starts yolo11n.pt yolo11n --work DIR

Without --peer, this project's own figures. The peer's Python is any that can `import ultralytics`. With
--device cuda, batches of 64 at 640 × 640, with the GPU memory that they need and the share of the time in which
training waits for data.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from bench.harness import compare_rates
from bench.training import accuracy, roofline
from bench.training.data import prepare
from bench.training.sides import Job, Ours, Pace, Peer, Side
from yolocore.model.device import half_type

SIZES = {"cpu": ((320, 16), (640, 8)), "cuda": ((640, 64),)}  # imgsz, batch
SPEED_EPOCHS = 2  # the first warms up, the second is timed


def main(options: Sequence[str] = ()) -> None:
    arguments = _parser().parse_args(options)
    with contextlib.ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        sides: list[Side] = [Ours()]
        # The peer trains in float32 on a CPU, in half width on a GPU.
        if arguments.device == "cpu" and half_type(torch.device("cpu")) and not arguments.accuracy:
            sides.append(Ours(amp=False))
        if arguments.peer:
            peer = Peer(arguments.peer, work / "peer")
            stack.callback(peer.close)
            sides.insert(0, peer)
        data = prepare(arguments.data, work)
        job = Job(
            data=data,
            model=arguments.starts[0],
            imgsz=arguments.imgsz,
            batch=arguments.batch,
            epochs=arguments.epochs,
            device=arguments.device,
            threads=arguments.threads,
            workers=arguments.workers,
            nbs=arguments.nbs,
        )
        if arguments.accuracy:
            accuracy.compare(sides, job, arguments.starts, arguments.seeds, work)
            return
        for imgsz, batch in SIZES[job.device]:
            at = replace(job, imgsz=imgsz, batch=batch, epochs=SPEED_EPOCHS, close_mosaic=0)
            speed(sides, at, arguments.rounds, work)
            loading(sides, at, arguments.rounds)
            roofline.report(at)
        if arguments.trained:
            both = [side for side in sides if not isinstance(side, Ours) or side.amp]  # amp is training's
            validation(both, replace(job, model=arguments.trained, imgsz=640), arguments.rounds)


def speed(sides: Sequence[Side], job: Job, rounds: int, work: Path) -> None:
    """Whole trainings in turns, of which the last epoch counts."""
    paces: dict[str, list[Pace]] = {side.name: [] for side in sides}

    def turn(side: Side, number: int) -> dict[str, float]:
        folder = work / "speed" / side.name
        shutil.rmtree(folder, ignore_errors=True)  # each turn is a training of its own
        pace = side.train(replace(job, seed=number), folder)
        paces[side.name].append(pace)
        return {"training": pace.training, "and validation": pace.validated}

    title = f"training, {job.imgsz} × {job.imgsz}, batch {job.batch}, {job.device}, {job.threads} threads (images/s)"
    compare_rates(title, {side.name: partial(turn, side) for side in sides}, rounds)
    for name, found in paces.items():
        waits = ", ".join(f"{pace.waited:.1%}" for pace in found)
        memory = (
            f"; at most {max(p.peak_memory for p in found) / 2**30:.1f} GiB of GPU memory"
            if job.device != "cpu"
            else ""
        )
        Console().print(f"{name}: waits for data {waits} of the time{memory}")


def loading(sides: Sequence[Side], job: Job, rounds: int) -> None:
    """The loaders alone. A later epoch finds decoded images where the side keeps some."""

    def turn(load: Callable[[Job, int], tuple[float, float]], workers: int, number: int) -> dict[str, float]:
        first, later = load(job, workers)
        return {"first epoch": first, "later": later}

    for workers in (0, job.workers):
        contestants = {}
        for side in sides:
            contestants[side.name] = partial(turn, side.loading, workers)
            if isinstance(side, Peer):
                contestants[f"{side.name}, cache=ram"] = partial(turn, partial(side.loading, cache="ram"), workers)
        title = f"training batches, {job.imgsz} × {job.imgsz}, workers {workers} (images/s)"
        compare_rates(title, contestants, rounds)


def validation(sides: Sequence[Side], job: Job, rounds: int) -> None:
    def turn(validate: Callable[[Job], float], number: int) -> dict[str, float]:
        return {"validation": validate(job)}

    contestants = {side.name: partial(turn, side.validation) for side in sides}
    if half_type(torch.device(job.device)):
        contestants["yolocore, half=true"] = partial(turn, partial(Ours().validation, half=True))
    title = f"validation, {job.imgsz}, batch {job.batch}, from files to mAP, {job.device} (images/s)"
    compare_rates(title, contestants, rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench training", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="demo", help="images and labels, as `yolo ingest` takes them")
    parser.add_argument("--peer", default=os.environ.get("BENCH_PEER"), help="a Python that has ultralytics")
    parser.add_argument("--work", type=Path, help="folder that keeps data and trainings; default: a temporary one")
    parser.add_argument("--device", choices=SIZES, default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU, on every side")
    parser.add_argument("--workers", type=int, default=2, help="of the loaders, beside the network")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument(
        "--trained", help="checkpoint in the public layout, for the data's classes, on which validation is timed"
    )
    parser.add_argument("--starts", nargs="+", default=["yolo11n"], help="checkpoints or architectures to train from")
    parser.add_argument("--accuracy", action="store_true", help="train to the end and compare mAP; takes hours")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--nbs", type=int, default=64, help="as in training; the batch's size: both update after each")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return parser
