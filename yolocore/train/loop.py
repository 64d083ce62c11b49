"""The training loop: epochs of updates, each epoch validated, its state on disk before the next begins.

Whatever happens to the process, the next one goes on from the last saved state and ends in the same
bits: rates are functions of the position (schedule.py), pictures of (seed, epoch, index) (data/loader.py),
the network's random numbers of both, and the rest is in `TrainState`. The promise holds for one kind of
machine and number of threads, because sums of floating-point numbers depend on how they are divided.

Several processes run this same loop in step (group.py): each has its share of every batch, and makes the
same update as the others from the sum of all gradients.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.amp import GradScaler

from yolocore.config.tree import TrainConfig
from yolocore.data.dataset import Split
from yolocore.data.loader import Batch, TrainLoader
from yolocore.data.producers import ProcessLoader
from yolocore.errors import PreemptedError, RefusedError, UsageError
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import save_weights
from yolocore.model.device import half_type
from yolocore.model.yolo11 import YOLO11
from yolocore.progress import Listener
from yolocore.train.balance import class_weights
from yolocore.train.capacity import largest_batch
from yolocore.train.ema import Ema
from yolocore.train.group import Group
from yolocore.train.norm import fresh_norms, fuse_activations, synchronize
from yolocore.train.objective import Objective
from yolocore.train.optim import build_optimizer, choose_rule
from yolocore.train.process import page_locked, preemption, seed_step
from yolocore.train.recorded import RecordedNetwork
from yolocore.train.schedule import Schedule
from yolocore.train.start import frozen_layers
from yolocore.train.state import TrainState, read_state
from yolocore.train.validation import Figures, Validator
from yolocore.train.views import draw_batch, drawn_batches, write_table

STATE, BEST, LAST, TABLE = "state.pt", "best.pt", "last.pt", "results.csv"
PICTURE = "train_batch{}.jpg"

CLIP_NORM = 10.0  # of the gradients of all parameters together
SAVE_SECONDS = 300.0  # a crash costs no more work than this, however long an epoch is


class Trainer:
    """One training, in a folder of its own, which it goes on with when the folder holds a state."""

    def __init__(
        self,
        model: YOLO11,
        meta: ModelMeta,
        images: Split,
        val_images: Split,
        config: TrainConfig,
        device: torch.device,
        work: Path,
        listener: Listener,
        *,
        flip_idx: Sequence[int] = (),
        group: Group = Group(),  # noqa: B008  frozen
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """model: where to start from; meta: what the trained one will say of itself. images, val_images: those of
        training and validation; flip_idx: as `TrainLoader` takes it. work: the folder, which only the group's
        first process looks into. saved: is called there when it holds a state that another training could go on from.

        Raises StorageError for a damaged state, UsageError for more processes than a batch has images.
        """
        self.meta, self.images = meta, images
        self._val_images, self._flip_idx = val_images, flip_idx
        self._work, self._listener, self._group = work, listener, group
        self._tell_saved = saved
        half = half_type(device) if config.amp else None
        model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        fuse_activations(model)
        before = group.share(read_state(work / STATE) if group.first else None)
        batch = int(before["batch_size"]) if before else self._batch_size(model, config, half)
        self._config = config = config.model_copy(update={"batch": batch})
        self._counts = self._divide(len(images))
        self._schedule = Schedule(config, choose_rule(config, len(images), len(meta.names)), len(self._counts))
        weights = class_weights(images, len(meta.names), config.cls_pw)
        self._objective = Objective(
            meta, config, device, half, None if weights is None else torch.from_numpy(weights).to(device), group.total
        )
        self.state = self._first_state(model)
        self._fresh_norms = fresh_norms(self.state.model)
        self._recorded = RecordedNetwork(model) if device.type == "cuda" and group.size == 1 else None
        if before:
            self.state.restore(before)
            listener.note(f"goes on after epoch {self.state.epoch}, batch {self.state.batch}")
        self._asked_to_end: Callable[[], bool] = lambda: False
        self._clock = self._saved = time.monotonic()

    def _batch_size(self, model: YOLO11, config: TrainConfig, half: torch.dtype | None) -> int:
        """Images of a step, of all processes together."""
        if config.batch > 0:
            return config.batch
        side = 32 * math.ceil(config.imgsz * (1 + config.multi_scale) / 32)
        images = len(self.images) // self._group.size
        each = largest_batch(model, side, half, images, self._group.local_size)
        batch = self._group.share(each) * self._group.size
        self._listener.note(f"batch={batch}: what memory holds")
        return batch

    def _divide(self, images: int) -> list[int]:
        """Images of each of an epoch's batches, as TrainLoader divides them."""
        batches = math.ceil(images / self._config.batch)
        counts = [len(part) for part in np.array_split(np.arange(images), batches)]
        if min(counts) < self._group.size:
            raise UsageError(
                f"batch={self._config.batch}: {images} images make batches of {min(counts)}, less than the "
                f"{self._group.size} processes; give a larger batch or start fewer"
            )
        return counts

    def _first_state(self, model: YOLO11) -> TrainState:
        config = self._config
        ema = Ema(model)
        if self._group.size > 1:
            synchronize(model)
        frozen_layers(model, config.freeze).eval()
        optimizer = build_optimizer(model, self._schedule.rule, self._schedule.weight_decay)
        self._trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        # bfloat16 has float32's range; only float16's gradients have to be scaled into its own.
        scaler = GradScaler(self._objective.device.type, enabled=self._objective.half is torch.float16)
        return TrainState(model, ema, optimizer, scaler, config.batch, [0.0] * len(self._objective.parts))

    def run(self) -> None:
        """Train to the end, and leave BEST, LAST, TABLE and PICTUREs in the folder.

        Raises PreemptedError on SIGTERM, with the state saved; RefusedError when the loss diverges;
        DataError for a broken image.
        """
        state, group = self.state, self._group
        validator = Validator(self._val_images, self.meta, self._objective, self._listener)
        with (
            self._loader() as loader,
            preemption() as self._asked_to_end,
        ):
            group.wait()  # a process asked to end before it listens would leave the others alone in their first update
            try:
                while state.epoch < self._config.epochs and not self._out_of_patience():
                    self._train_epoch(loader)
                    self._end_epoch(self._validate(validator))
                    self._save()
            except PreemptedError:
                self._save()
                raise
        if state.epoch < self._config.epochs:
            self._listener.note(
                f"stops after epoch {state.epoch}: patience={self._config.patience}, the best was {state.best_epoch}"
            )
        if group.first:
            save_weights(self._work / LAST, state.ema.model, self.meta)

    def _loader(self) -> TrainLoader | ProcessLoader:
        share = (self._group.rank, self._group.size)
        if self._objective.device.type == "cuda" and self._config.workers:
            return ProcessLoader(self.images, self._config, self.meta.task, self._flip_idx, share, page_locked)
        return TrainLoader(self.images, self._config, self.meta.task, self._flip_idx, share)

    def _out_of_patience(self) -> bool:
        patience = self._config.patience
        return bool(patience) and self.state.epoch - self.state.best_epoch >= patience

    def _save(self) -> None:
        self._tick()
        self._saved = self._clock
        if self._group.first:
            self.state.save(self._work / STATE)
            self._tell_saved()

    def _tick(self) -> None:
        """Add the time since the last call to the time spent."""
        before, self._clock = self._clock, time.monotonic()
        self.state.seconds += self._clock - before

    def _train_epoch(self, loader: TrainLoader | ProcessLoader) -> None:
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
            parts, asked_to_end = self._update(islice(batches, count))
            seen = sum(self._counts[state.batch : end])
            images += seen
            state.batch = end
            figures = dict(zip(self._objective.parts, (part / seen for part in parts), strict=True))
            self._listener.advance(count, **figures, images_per_second=images / (time.monotonic() - begun))
            if asked_to_end:
                raise _preempted()
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save()

    def _drawn(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; some are drawn for people to look at."""
        first = self.state.epoch * len(self._counts) + self.state.batch
        chosen = drawn_batches(self._config, len(self._counts)) if self._group.first else set()
        for number, batch in enumerate(batches, first):
            if number in chosen:
                draw_batch(batch, self.meta.names, self._work / PICTURE.format(number))
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
        seed_step(self._config.seed, at, self._group.rank)

    def _update(self, batches: Iterator[Batch]) -> tuple[list[float], bool]:
        """One update from several batches. Returns each part of the loss, summed over the images of all processes,
        and whether any of them was asked to end."""
        state = self.state
        settled = all(norm.momentum == own for norm, own in self._fresh_norms)
        network = self._recorded if self._recorded and settled else state.model.raw
        # The last figure is the wish to end: it travels with the others.
        figures = torch.zeros(len(state.sums) + 1, device=self._objective.device)
        for number, batch in enumerate(batches, state.batch):
            loss, parts = self._objective(network, batch)
            state.scaler.scale(loss).backward()
            figures[:-1] += parts * self._counts[number]
        figures[-1] = float(self._asked_to_end())
        figures = self._group.total(figures)
        self._group.add_gradients(self._trained)
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(self._trained, CLIP_NORM)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=self._recorded is None)
        state.ema.update()
        # Read when all of the update is on its way: a GPU would wait for the rest of it meanwhile.
        *sums, asked_to_end = figures.tolist()
        if not all(map(math.isfinite, sums)):
            raise RefusedError(
                f"the loss became {sum(sums)} in epoch {state.epoch + 1}, batch {state.batch + 1}; "
                f"lower lr0 (now {self._schedule.rule.lr:g}), set amp=false, or look for broken labels"
            )
        state.sums = [before + part for before, part in zip(state.sums, sums, strict=True)]
        return sums, asked_to_end > 0

    def _validate(self, validator: Validator) -> Figures:
        """The first process measures, the others wait. Raises PreemptedError in all when the first is asked to end."""
        figures = None
        if self._group.first:
            with contextlib.suppress(PreemptedError):  # the others have to hear of it first
                figures = validator.measure(self.state.ema.model, self._asked_to_end)
        figures = self._group.share(figures)
        if figures is None:
            raise _preempted()
        return figures

    def _end_epoch(self, figures: Figures) -> None:
        """Keep the average weights if they are the best, and begin the next epoch."""
        state = self.state
        state.epoch += 1
        if figures.fitness > state.best:
            state.best, state.best_epoch = figures.fitness, state.epoch
            if self._group.first:
                save_weights(self._work / BEST, state.ema.model, self.meta)
        self._tick()
        weights, _, biases = state.optimizer.param_groups
        row = {
            "epoch": state.epoch,
            "seconds": state.seconds,
            **dict(zip(self._objective.parts, (part / len(self.images) for part in state.sums), strict=True)),
            **{f"val_{name}": value for name, value in figures.losses.items()},
            **figures.metrics,
            "fitness": figures.fitness,
            "lr": weights["lr"],
            "lr_bias": biases["lr"],
        }
        state.rows.append(row)
        state.batch, state.sums = 0, [0.0] * len(state.sums)
        if self._group.first:
            write_table(state.rows, self.meta.task, self._work / TABLE)
        self._listener.epoch(state.epoch, {name: value for name, value in row.items() if name != "epoch"})


def _preempted() -> PreemptedError:
    return PreemptedError("SIGTERM: training is saved; run the same command again to go on from here")
