"""How near a training step is to what this machine can do (Williams et al. 2009, the roofline model).

Each operator of the step does arithmetic and moves its inputs and outputs; whichever takes longer at the
machine's measured peak is its bound, and their sum the bound of the step as it is written. An operator whose
tensors stay in a cache can beat its bound, and fusing operators lowers it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from bench.training.sides import Job, limited_threads
from yolocore.config import TrainConfig
from yolocore.data.loader import Batch, TrainLoader
from yolocore.model.device import half_type
from yolocore.model.yolo11 import build
from yolocore.train.assign import Targets
from yolocore.train.ema import Ema
from yolocore.train.losses import task_loss
from yolocore.train.norm import fuse_activations
from yolocore.train.optim import build_optimizer, choose_rule

ROUNDS = 7
STREAM_BYTES = 1 << 28  # more than the caches hold
ALLOCATIONS = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


@dataclass(frozen=True)
class Machine:
    """Measured peaks. flops: operations/s by type, of a matrix product or a convolution. bandwidth: bytes/s."""

    flops: dict[torch.dtype, float]
    bandwidth: float


class Ledger(TorchDispatchMode):
    """Writes down every operator that runs: type, operations, bytes read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[torch.dtype, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if not func.is_view and func._overloadpacket.__name__ not in ALLOCATIONS:
            read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            written = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
            count = flop_registry.get(func._overloadpacket)
            flops = count(*args, **kwargs, out_val=out) if count else 0
            moved = sum(tensor.numel() * tensor.element_size() for tensor in (*read, *written))
            self.rows.append(((read or written)[0].dtype if read or written else torch.float32, flops, moved))
        return out

    def bound(self, machine: Machine) -> tuple[float, float, float]:
        """Seconds of all arithmetic, of all movement, and of the operators one after the other."""
        slowest = min(machine.flops.values())
        compute = [flops / machine.flops.get(dtype, slowest) for dtype, flops, _ in self.rows]
        movement = [moved / machine.bandwidth for _, _, moved in self.rows]
        return sum(compute), sum(movement), sum(map(max, compute, movement))


def measure_machine(device: torch.device, dtypes: list[torch.dtype]) -> Machine:
    """Peaks of this machine with the threads that torch has now."""
    flops = {}
    for dtype in dtypes:
        a, b = (torch.randn(2048, 2048, device=device, dtype=dtype) for _ in range(2))
        image = torch.randn(16, 128, 40, 40, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        kernel = torch.randn(128, 128, 3, 3, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        product = 2 * 2048**3 / _seconds(partial(torch.mm, a, b), device)
        convolution = (
            2 * 16 * 40 * 40 * 128 * 128 * 9 / _seconds(partial(torch.conv2d, image, kernel, padding=1), device)
        )
        flops[dtype] = max(product, convolution)
    source = torch.ones(STREAM_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return Machine(flops, 2 * STREAM_BYTES / _seconds(lambda: target.copy_(source), device))


def report(job: Job) -> None:
    """Print the roofline of one update of one batch, in every precision that training may use here."""
    device = torch.device(job.device)
    config = TrainConfig(imgsz=job.imgsz, batch=job.batch, workers=0)
    split = job.data.dataset.split("train")
    with TrainLoader(split, config) as loader:
        batch = next(iter(loader.epoch(0)))
    half = half_type(device)
    title = f"roofline of an update, yolo11n, {len(batch.images)} images of {job.imgsz} × {job.imgsz}, {device} (ms)"
    table = Table("", "GFLOP", "GB", "arithmetic", "movement", "bound", "measured", "reached")
    for column in table.columns[1:]:
        column.justify = "right"
    with limited_threads(job.threads):
        dtypes = [torch.float32, *([half] if half else [])]
        machine = measure_machine(device, dtypes)
        for dtype in dtypes:
            step = _step(batch, config, len(split), len(job.data.dataset.names), device, dtype)
            step()
            with Ledger() as ledger:
                step()
            seconds = _seconds(step, device)
            arithmetic, movement, bound = ledger.bound(machine)
            table.add_row(
                f"{dtype}".removeprefix("torch."),
                f"{sum(flops for _, flops, _ in ledger.rows) / 1e9:.0f}",
                f"{sum(moved for _, _, moved in ledger.rows) / 1e9:.1f}",
                *(f"{part * 1000:.0f}" for part in (arithmetic, movement, bound, seconds)),
                f"{bound / seconds:.0%}",
            )
    peaks = ", ".join(
        f"{value / 1e9:.0f} GFLOP/s in {dtype}".replace("torch.", "") for dtype, value in machine.flops.items()
    )
    table.title, table.title_justify = title, "left"
    table.caption, table.caption_justify = f"peaks here: {peaks}; {machine.bandwidth / 1e9:.1f} GB/s", "left"
    Console().print(table)


def _step(
    batch: Batch, config: TrainConfig, images: int, classes: int, device: torch.device, dtype: torch.dtype
) -> Callable[[], None]:
    """One update as training does it: forward, loss, backward, clipping, optimiser, average of weights."""
    model = build("n", classes).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    fuse_activations(model)
    optimizer = build_optimizer(model, choose_rule(config, images, classes), config.weight_decay)
    ema, parameters = Ema(model), list(model.parameters())

    def step() -> None:
        pixels = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            raw = model.raw(pixels)
        task_loss("detect", raw, Targets.of(batch.objects, device), config)[0].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update()

    return step


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a call, after one to warm up."""
    times = []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])
