"""Exported models on OpenVINO, on the CPU."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from yolocore.errors import ModelError, UsageError
from yolocore.runtimes.base import META_KEY, Floats, Outputs, check_interface, parse_meta, run_in_batches

NETWORK = "model.xml"  # inside the folder; its weights lie beside it, in model.bin


@functools.cache
def core() -> openvino.Core:
    """The engine of this process, which is kept to its end.

    Each engine gives its thread a stack for signals, and on its end the one that it found there: another engine's,
    which may be gone by then. The next Ctrl-C would end the process without a word.
    """
    return openvino.Core()


class OpenVinoRuntime:
    """A `Runtime` for a folder that `export format=openvino` wrote.

    device: auto or cpu. threads: CPU threads of one forward pass; None: as many as this process may use.
    Raises ModelError for a broken folder and for one that is no exported YOLO, UsageError for another device.
    """

    name = "openvino"

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None) -> None:
        if device not in ("auto", "cpu"):
            raise UsageError(f"device={device}: OpenVINO computes on the CPU here; give cpu or auto")
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
            # Left to itself, it computes in bf16 where the processor can, and is another model there.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            network = core().read_model(path / NETWORK)
            self._compiled = core().compile_model(network, "CPU", settings)
        except Exception as error:  # it raises whatever a bad file makes its parsers raise
            reason = str(error).strip().splitlines()[-1].partition(" Please ")[0]
            raise ModelError(f"model={path}: cannot be loaded by OpenVINO ({reason}); export it again") from None
        self.meta = parse_meta(_note(network), path)
        images, *others = network.inputs
        check_interface(
            self.meta,
            path,
            pixels=not others and images.element_type == openvino.Type.f32 and len(images.partial_shape) == 4,
            widths=[_size(output.partial_shape[1]) for output in network.outputs],
        )
        batch, _, height, width = (_size(dimension) for dimension in images.partial_shape)
        self.shape = (height, width) if height and width else None
        self._batch = batch

    def forward(self, batch: Floats) -> Outputs:
        """As `Runtime.forward`. A model of fixed batch is run as often as it takes."""
        return run_in_batches(self._run, batch, self._batch)

    def _run(self, batch: Floats) -> Outputs:
        # The arrays it answers with are its own buffers, which the next request writes into.
        return tuple(np.array(output) for output in self._compiled([batch]).values())


def _note(network: openvino.Model) -> str | None:
    return network.get_rt_info(META_KEY).astype(str) if network.has_rt_info(META_KEY) else None


def _size(dimension: Any) -> int | None:
    """A dimension's length, or None where any will do."""
    return dimension.get_length() if dimension.is_static else None
