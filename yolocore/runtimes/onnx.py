"""Exported models on ONNX Runtime, on the CPU or a CUDA GPU."""

from __future__ import annotations

import os
import re
from pathlib import Path

import onnxruntime as ort

from yolocore.errors import ModelError, UsageError
from yolocore.meta import ModelMeta
from yolocore.runtimes.base import META_KEY, Floats, Outputs, check_interface, parse_meta, run_in_batches

ort.disable_telemetry_events()
_QUIET = 3  # errors only: the runtime's warnings speak of its own optimiser


class OnnxRuntime:
    """A `Runtime` for a file that `export` wrote.

    device: auto (CUDA where this build of ONNX Runtime has it), cpu, cuda or cuda:N.
    threads: CPU threads of one forward pass; None: as many as this process may use.
    Raises ModelError for a broken file and for one that is no exported YOLO, UsageError for a device that
    isn't there.
    """

    name = "onnx"

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None) -> None:
        self._session = open_session(path, device, threads)
        self.meta = read_meta(self._session, path)
        self._check(path)
        batch, _, height, width = self._session.get_inputs()[0].shape
        self.shape = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self._batch = batch if isinstance(batch, int) else None

    def forward(self, batch: Floats) -> Outputs:
        """As `Runtime.forward`. A model of fixed batch is run as often as it takes."""
        return run_in_batches(self._run, batch, self._batch)

    def _run(self, batch: Floats) -> Outputs:
        return tuple(self._session.run(None, {self._session.get_inputs()[0].name: batch}))

    def _check(self, path: Path) -> None:
        inputs = self._session.get_inputs()
        pixels = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 4
        check_interface(
            self.meta, path, pixels=pixels, widths=[output.shape[1] for output in self._session.get_outputs()]
        )


def open_session(path: Path, device: str, threads: int | None = None) -> ort.InferenceSession:
    """A model loaded. Parameters and errors as of `OnnxRuntime`, but for what the model is."""
    options = ort.SessionOptions()
    # Without a number the runtime takes a thread for every core of the machine, whatever the container allows.
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.log_severity_level = _QUIET
    providers = _providers(device)
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the runtime has no base class for what a bad file makes it raise
        reason = str(error).splitlines()[0].split(" : ")[-1]
        raise ModelError(f"model={path}: cannot be loaded by ONNX Runtime ({reason}); export it again") from None


def read_meta(session: ort.InferenceSession, path: Path) -> ModelMeta:
    """What `export` wrote into a model. Raises ModelError where that is missing or damaged."""
    return parse_meta(session.get_modelmeta().custom_metadata_map.get(META_KEY), path)


def _providers(device: str) -> list[str | tuple[str, dict[str, int]]]:
    """ONNX Runtime's execution providers for a device, in order of preference."""
    cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cpu" or (device == "auto" and not cuda):
        return ["CPUExecutionProvider"]
    numbered = re.fullmatch(r"(?:auto|cuda(?::(\d+))?)", device)
    if not cuda or not numbered:
        raise UsageError(f"device={device}: not available to ONNX Runtime here; give cpu or auto")
    return [("CUDAExecutionProvider", {"device_id": int(numbered[1] or 0)}), "CPUExecutionProvider"]
