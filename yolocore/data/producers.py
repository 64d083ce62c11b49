"""Training batches made by several processes, for a network that needs Python's lock to itself.

Launching a GPU's work is many short calls, and each gives Python's lock away for a moment: with worker threads
beside it, which want the lock as often, a step takes twice as long (measured on an H100 with 8 threads). A CPU's
calls are long, and threads (loader.py) are the better workers there.

Every process is a Python of its own that makes each n-th batch by the loader that a single process would use, so
that all batches are the same. Pictures lie in memory that the processes share, which is no file and takes nothing
of /dev/shm (64 MB in many containers); the rest of a batch is small and comes through a pipe.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from yolocore.config.tree import TrainConfig
from yolocore.data.dataset import Split
from yolocore.data.loader import CACHE_SHARE, Batch, ObjectTable, TrainLoader
from yolocore.data.objects import MASK_STRIDE
from yolocore.data.plan import batch_count, largest_side
from yolocore.errors import UsageError, YoloError
from yolocore.memory import reused_memory
from yolocore.meta import Task

MOST = 4  # processes; each keeps decoded images of its own
SLOTS = 2  # batches that a process may have in hand: one that is used, one in the making

Memory = npt.NDArray[np.uint8]
Shape = tuple[int, ...]
Hold = Callable[[Memory], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Order:
    """What a process works for. room: bytes of a slot."""

    split: Split
    config: TrainConfig
    task: Task
    flip_idx: tuple[int, ...]
    share: tuple[int, int]
    processes: int
    room: int


@dataclass(frozen=True, eq=False)
class Made:
    """A batch whose pictures lie in a slot, and behind them its masks. objects: all but the masks."""

    shape: Shape
    masks: Shape | None
    objects: ObjectTable


class ProcessLoader:
    """As `TrainLoader`, of `workers` threads in up to MOST processes. A batch is valid until the next is asked for."""

    def __init__(
        self,
        split: Split,
        config: TrainConfig,
        task: Task = "detect",
        flip_idx: Sequence[int] = (),
        share: tuple[int, int] = (0, 1),
        hold: Hold = contextlib.nullcontext,  # type: ignore[assignment]
    ) -> None:
        """hold: makes the memory of the batches what the user wants it to be, for as long as the loader lives."""
        self._count = batch_count(len(split), config)
        self._workers = config.workers
        processes = max(min(config.workers, MOST), 1)
        config = config.model_copy(update={"workers": math.ceil(config.workers / processes)})
        pictures, side = math.ceil(config.batch / share[1]), largest_side(config)
        masks = 2 * (side // MASK_STRIDE) ** 2 if task == "segment" else 0
        room = -(-pictures * (3 * side**2 + masks) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._order = Order(split, config, task, tuple(flip_idx), share, processes, room)
        self._hold = hold
        self._producers: list[_Producer] = []

    def __enter__(self) -> ProcessLoader:
        with contextlib.ExitStack() as stack:
            for number in range(self._order.processes):
                self._producers.append(stack.enter_context(_Producer(self._order, number)))
                stack.enter_context(self._hold(self._producers[-1].memory))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        self._producers.clear()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._count

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """As `TrainLoader.epoch`. An epoch that is left before its end is the loader's last.

        Raises UsageError when a process has been ended.
        """
        turns = self._producers[: self._count - start]
        try:
            for number, producer in enumerate(turns):
                producer.send((epoch, start + number))
            for number in range(self._count - start):
                producer = turns[number % len(turns)]
                batch = producer.receive()
                try:
                    yield batch
                finally:  # nobody has to come back after the last one, or the loader may be gone by then
                    with contextlib.suppress(OSError):
                        producer.send(None)  # the slot is free
        except (EOFError, ConnectionError):
            raise UsageError(
                f"workers={self._workers}: a process that makes batches was ended "
                f"({producer.fate()}); where memory does not suffice, give fewer workers"
            ) from None


class _Producer:
    """A process that makes batches. memory: (SLOTS, bytes) that it puts pictures into."""

    def __init__(self, order: Order, number: int) -> None:
        self._order, self._number = order, number

    def __enter__(self) -> _Producer:
        file = os.memfd_create("batches")
        os.truncate(file, SLOTS * self._order.room)
        self.memory = _shared(file, self._order.room)
        self._slots = cycle(self.memory)
        self._connection, theirs = Pipe()
        handles = (theirs.fileno(), file)
        # Its life long it does not hear these: when to end is the matter of the process that wants the batches.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import main; main(*{handles})"],
                pass_fds=handles,
                stdin=subprocess.DEVNULL,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        os.close(file)
        self.send(self._order)
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def send(self, message: Any) -> None:
        self._connection.send(message)

    def receive(self) -> Batch:
        """Its next batch. Raises what was raised in the process, EOFError when there is none any more."""
        answer = self._connection.recv()
        if isinstance(answer, YoloError):
            raise answer
        images, masks = _laid_out(next(self._slots), answer.shape, answer.masks)
        return Batch(images, replace(answer.objects, masks=masks))

    def fate(self) -> str:
        status = self._process.wait()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _shared(file: int, room: int) -> Memory:
    """(SLOTS, room) of a file of memory."""
    return np.frombuffer(mmap.mmap(file, SLOTS * room), np.uint8).reshape(SLOTS, room)


def _laid_out(slot: Memory, shape: Shape, masks: Shape | None) -> tuple[Memory, npt.NDArray[np.int16] | None]:
    """Views of a slot: pictures, and behind them their masks."""
    size = math.prod(shape)
    images = slot[:size].reshape(shape)
    if masks is None:
        return images, None
    return images, slot[size : size + 2 * math.prod(masks)].view(np.int16).reshape(masks)


def produce(connection: Connection, file: int) -> None:
    """Make batches until nobody wants any more."""
    order: Order = connection.recv()
    memory = _shared(file, order.room)
    begun, sent = cycle(memory), cycle(memory)  # slots come in turn
    in_hand = 0

    def empty(shape: Shape, dtype: type[np.uint8]) -> Memory:
        """The next slot's pictures. It is free once its last batch is used up."""
        nonlocal in_hand
        if in_hand == SLOTS:
            connection.recv()
            in_hand -= 1
        in_hand += 1
        return next(begun)[: math.prod(shape)].reshape(shape)

    loader = TrainLoader(
        order.split,
        order.config,
        order.task,
        order.flip_idx,
        order.share,
        empty=empty,
        prefetch=SLOTS - 1,
        cache_share=CACHE_SHARE / order.processes,
    )
    with loader:
        while True:
            epoch, start = connection.recv()
            for batch in loader.epoch(epoch, start, order.processes):
                slot, shape, objects, masks = next(sent), batch.images.shape, batch.objects, batch.objects.masks
                if masks is not None:
                    _, place = _laid_out(slot, shape, masks.shape)
                    assert place is not None
                    place[:] = masks
                connection.send(Made(shape, None if masks is None else masks.shape, replace(objects, masks=None)))
            while in_hand:
                connection.recv()
                in_hand -= 1


def main(connection: int, file: int) -> None:
    """A process's whole life; file handles of its pipe and of the shared memory."""
    pipe = Connection(connection)
    with contextlib.suppress(EOFError, ConnectionError), reused_memory():
        try:
            produce(pipe, file)
        except YoloError as error:
            pipe.send(error)
