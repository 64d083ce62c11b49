"""The training loop: epochs of updates, each epoch validated, its state on disk before the next begins.

Whatever happens to the process, the next one goes on from the last saved state and ends in the same
bits: rates are functions of the position (schedule.py), pictures of (seed, epoch, index) (data/loader.py),
and the rest is in `TrainState`. The promise holds for one kind of machine and number of threads, because
sums of floating-point numbers depend on how they are divided among threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn import BatchNorm2d, Module

from yolocore.config.tree import TrainConfig, ValConfig
from yolocore.data import Dataset
from yolocore.data.augment import without_augmentation
from yolocore.data.loader import Batch, TrainLoader
from yolocore.errors import PreemptedError, RefusedError
from yolocore.evaluate import evaluate
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import save_weights
from yolocore.model.yolo11 import YOLO11
from yolocore.progress import Listener
from yolocore.runtimes.detector import LocalDetector
from yolocore.runtimes.torch import TorchRuntime
from yolocore.train.assign import Targets
from yolocore.train.ema import Ema
from yolocore.train.loss import PARTS, detection_loss
from yolocore.train.optim import build_optimizer, choose_rule
from yolocore.train.process import mixed_precision, preemption
from yolocore.train.schedule import Schedule, accumulation
from yolocore.train.state import TrainState
from yolocore.train.views import draw_batch, write_table

STATE, BEST, LAST, TABLE = "state.pt", "best.pt", "last.pt", "results.csv"
PICTURES = ("train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg")

CLIP_NORM = 10.0  # of the gradients of all parameters together
SAVE_SECONDS = 300.0  # a crash costs no more work than this, however long an epoch is


class Trainer:
    """One training, in a folder of its own, which it goes on with when the folder holds a state."""

    def __init__(
        self,
        model: YOLO11,
        meta: ModelMeta,
        dataset: Dataset,
        config: TrainConfig,
        device: torch.device,
        work: Path,
        listener: Listener,
    ) -> None:
        """model: where to start from; meta: what the trained one will say of itself.

        Raises DataError for a split that the dataset does not have, StorageError for a damaged state.
        """
        self._meta, self._config, self._device, self._work, self._listener = meta, config, device, work, listener
        self._images, self._val_images = dataset.split("train"), dataset.split("val")
        self._half = mixed_precision(device) if config.amp else None
        rule = choose_rule(config, len(self._images), len(meta.names))
        self._schedule = Schedule(config, rule, math.ceil(len(self._images) / config.batch))
        model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._fresh_norms = [(m, float(m.momentum or 0)) for m in model.modules() if _is_fresh(m)]
        weight_decay = config.weight_decay * config.batch * accumulation(config) / config.nbs
        # bfloat16 has float32's range; only float16's gradients have to be scaled into its own.
        scaler = GradScaler(device.type, enabled=self._half is torch.float16)
        self.state = TrainState(model, Ema(model), build_optimizer(model, rule, weight_decay), scaler)
        if (work / STATE).exists():
            self.state.load(work / STATE)
            listener.note(f"goes on after epoch {self.state.epoch}, batch {self.state.batch}")
        self._clock = self._saved = time.monotonic()

    def run(self) -> None:
        """Train to the end, and leave BEST, LAST, TABLE and PICTURES in the folder.

        Raises PreemptedError on SIGTERM, with the state saved; RefusedError when the loss diverges;
        DataError for a broken image.
        """
        state, plain = self.state, without_augmentation(self._config)
        with (
            TrainLoader(self._images, self._config) as loader,
            TrainLoader(self._val_images, plain) as val_loader,
            preemption() as check_preemption,
        ):
            try:
                while state.epoch < self._config.epochs and not self._out_of_patience():
                    self._train_epoch(loader, check_preemption)
                    self._validate(val_loader)
                    self._save()
                    check_preemption()
            except PreemptedError:
                self._save()
                raise
        save_weights(self._work / LAST, state.ema.model, self._meta)

    def _out_of_patience(self) -> bool:
        patience = self._config.patience
        return bool(patience) and self.state.epoch - self.state.best_epoch >= patience

    def _save(self) -> None:
        self._tick()
        self._saved = self._clock
        self.state.save(self._work / STATE)

    def _tick(self) -> None:
        """Add the time since the last call to the time spent."""
        before, self._clock = self._clock, time.monotonic()
        self.state.seconds += self._clock - before

    def _train_epoch(self, loader: TrainLoader, check_preemption: Callable[[], None]) -> None:
        """The rest of the present epoch."""
        state = self.state
        self._listener.start(f"epoch {state.epoch + 1}/{self._config.epochs}", len(loader))
        self._listener.advance(state.batch)
        batches = self._drawn(loader.epoch(state.epoch, state.batch))
        begun, images, end = time.monotonic(), 0, 0
        for count in self._schedule.updates(state.epoch):
            end += count
            if end <= state.batch:  # was done before a restart
                continue
            self._set_rates()
            seen, parts = self._update(islice(batches, count))
            images += seen
            state.batch = end
            figures = dict(zip(PARTS, (part / seen for part in parts), strict=True))
            self._listener.advance(count, **figures, images_per_second=images / (time.monotonic() - begun))
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save()
            check_preemption()

    def _drawn(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; the first ever are drawn for people to look at."""
        for number, batch in enumerate(batches, self.state.batch):
            if self.state.epoch == 0 and number < len(PICTURES):
                draw_batch(batch, self._meta.names, self._work / PICTURES[number])
            yield batch

    def _set_rates(self) -> None:
        at = self.state.epoch * self._schedule.batches + self.state.batch
        rate, bias_rate = self._schedule.rate(at), self._schedule.bias_rate(at)
        for group, lr in zip(self.state.optimizer.param_groups, (rate, rate, bias_rate), strict=True):
            group["lr"] = lr
            if "momentum" in group:
                group["momentum"] = self._schedule.momentum(at)
        for norm, own in self._fresh_norms:
            norm.momentum = self._schedule.norm_momentum(at, own)

    def _update(self, batches: Iterator[Batch]) -> tuple[int, list[float]]:
        """One update from several batches. Returns how many images, and each part of the loss summed over them."""
        state = self.state
        seen, sums = 0, torch.zeros(len(PARTS), device=self._device)
        for batch in batches:
            loss, parts = self._loss(state.model, batch)
            state.scaler.scale(loss).backward()
            seen += len(batch.images)
            sums += parts * len(batch.images)
        total = sums.tolist()
        if not all(map(math.isfinite, total)):
            raise RefusedError(
                f"the loss became {sum(total)} in epoch {state.epoch + 1}, batch {state.batch + 1}; "
                f"lower lr0 (now {self._schedule.rule.lr:g}), set amp=false, or look for broken labels"
            )
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), CLIP_NORM)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()
        state.ema.update()
        state.sums = [before + part for before, part in zip(state.sums, total, strict=True)]
        return seen, total

    def _loss(self, model: YOLO11, batch: Batch) -> tuple[Tensor, Tensor]:
        """As `detection_loss` returns it."""
        # A view of the batch's own memory, which is channels last already.
        images = torch.from_numpy(batch.images).to(self._device).permute(0, 3, 1, 2).float().div_(255)
        targets = Targets(
            *(torch.from_numpy(column).to(self._device) for column in (batch.image, batch.classes, batch.boxes))
        )
        with torch.autocast(self._device.type, self._half, enabled=self._half is not None):
            maps = model.maps(images)
        return detection_loss(maps, targets, self._config)

    def _validate(self, val_loader: TrainLoader) -> None:
        """Measure the average weights, keep them if they are the best, and begin the next epoch."""
        state = self.state
        detector = LocalDetector(TorchRuntime.of(state.ema.model, self._meta))
        metrics = evaluate(detector, self._val_images, ValConfig(), self._listener).summary()
        val_losses = self._val_losses(val_loader)
        state.epoch += 1
        if metrics["map50_95"] > state.best:
            state.best, state.best_epoch = metrics["map50_95"], state.epoch
            save_weights(self._work / BEST, state.ema.model, self._meta)
        self._tick()
        weights, _, biases = state.optimizer.param_groups
        row = {
            "epoch": state.epoch,
            "seconds": state.seconds,
            **dict(zip(PARTS, (part / len(self._images) for part in state.sums), strict=True)),
            **{f"val_{name}": value for name, value in val_losses.items()},
            **metrics,
            "lr": weights["lr"],
            "lr_bias": biases["lr"],
        }
        state.rows.append(row)
        state.batch, state.sums = 0, [0.0] * len(PARTS)
        write_table(state.rows, self._work / TABLE)
        self._listener.epoch(state.epoch, {name: value for name, value in row.items() if name != "epoch"})

    @torch.no_grad()
    def _val_losses(self, val_loader: TrainLoader) -> dict[str, float]:
        """Each part of the loss of the average weights, over the letterboxed val images."""
        sums = torch.zeros(len(PARTS), device=self._device)
        for batch in val_loader.epoch(0):
            sums += self._loss(self.state.ema.model, batch)[1] * len(batch.images)
        return dict(zip(PARTS, (sums / len(self._val_images)).tolist(), strict=True))


def _is_fresh(module: Module) -> TypeGuard[BatchNorm2d]:
    """A normalisation that has seen no images yet; those of a checkpoint know theirs."""
    if not isinstance(module, BatchNorm2d) or module.running_mean is None or module.running_var is None:
        return False
    return not module.running_mean.any() and bool((module.running_var == 1).all())
