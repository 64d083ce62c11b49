"""benchmark: the formats of a model side by side.

1. find each format's file; without an export step's folder, export for the occasion
2. accuracy: the evaluator over the split, every format at the same square shape
3. speed and memory: each format in a process of its own, taking turns, with the same number of threads
4. the table and the picture
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from yolocore.benchmark.probe import Job, Probe
from yolocore.benchmark.timing import figures, take_turns
from yolocore.benchmark.views import accuracy_figures, csv_table, draw, markdown_table, terminal_table
from yolocore.config import BenchmarkConfig, ExportConfig, ValConfig
from yolocore.config.tree import BenchmarkFormat
from yolocore.data import open_dataset
from yolocore.errors import UsageError
from yolocore.evaluate import check_classes, evaluate
from yolocore.modes.inputs import BenchmarkInputs, ExportInputs, model_digest
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import BenchmarkRecord, BenchmarkRow, ExportRecord
from yolocore.runtimes.detector import TRITON_SCHEMES, Detector, LocalDetector, engine_versions, open_detector
from yolocore.store import file_digest

TABLE, SHEET, PICTURE = "benchmark.md", "benchmark.csv", "benchmark.png"
_OCCASION = "occasion"  # folder of the export that is made where none is given, and not kept


def benchmark(
    config: BenchmarkConfig, inputs: BenchmarkInputs, out: Path, listener: Listener = SILENT
) -> BenchmarkRecord:
    """Measure each format: MB, accuracy, milliseconds for one image at a time, images per second, MB of memory.

    Milliseconds run from decoded pixels to what is found, in pixels of the image.
    Raises UsageError for formats that the model does not have or that cannot be compared, and what opening
    the model or the dataset raises: a format that fails ends the step, it is never an empty row.
    """
    if inputs.model.startswith(TRITON_SCHEMES):
        raise UsageError(f"model={inputs.model}: is served; give the checkpoint or the exported model itself")
    dataset = open_dataset(inputs.data)
    split = dataset.split(config.split)
    digests = {"model": model_digest(inputs.model), "data": split.digest}
    formats = _formats(config, inputs.model)
    files = _files(formats, inputs, digests["model"])
    digests |= {name: file_digest(path) for name, path in files.items() if name != "torch"}
    with Step(BenchmarkRecord, config, digests, out) as step:
        if step.finished:
            return step.finished
        if "onnx" in formats and "onnx" not in files:
            files["onnx"] = _export(config, inputs, step.work / _OCCASION / "export", listener)
        files = {name: files[name] for name in formats}
        detectors = {name: open_detector(str(path), config.device, config.half) for name, path in files.items()}
        first = next(iter(detectors.values()))
        dataset.check_task(first.meta.task, first.meta.keypoints)
        check_classes(first, dataset, listener)
        imgsz = _common_size(config, detectors)

        rows = []
        settings = ValConfig(imgsz=imgsz, conf=config.conf, iou=config.iou, max_det=config.max_det, rect=False)
        for name, detector in detectors.items():
            accuracy = accuracy_figures(evaluate(detector, split, settings, listener).summary())
            rows.append(BenchmarkRow(format=name, megabytes=files[name].stat().st_size / 1e6, accuracy=accuracy))
        lasting = {row.format: {"megabytes": row.megabytes, **row.accuracy} for row in rows}
        threads = len(os.sched_getaffinity(0))
        passing = _speed(config, inputs, files, imgsz, threads, listener)

        compared = {name: lasting[name] | passing[name] for name in files}
        title = f"{Path(inputs.model).name} at {imgsz}x{imgsz}, one image at a time, {threads} threads"
        (step.work / TABLE).write_text(markdown_table(compared))
        (step.work / SHEET).write_text(csv_table(compared))
        draw(compared, title, step.work / PICTURE)
        for line in terminal_table(compared).splitlines():
            listener.note(line)
        shutil.rmtree(step.work / _OCCASION, ignore_errors=True)
        return step.publish(
            metrics=_flat(lasting),
            artifacts={},
            views=(TABLE, SHEET, PICTURE),
            versions={key: value for path in files.values() for key, value in engine_versions(str(path)).items()},
            timings={"threads": threads, **_flat(passing)},
            rows=tuple(rows),
        )


def _speed(
    config: BenchmarkConfig,
    inputs: BenchmarkInputs,
    files: Mapping[str, Path],
    imgsz: int,
    threads: int,
    listener: Listener,
) -> dict[str, dict[str, float]]:
    """Milliseconds, images per second and memory of each format."""
    job = Job(
        device=config.device,
        half=config.half,
        data=inputs.data,
        split=config.split,
        imgsz=imgsz,
        conf=config.conf,
        iou=config.iou,
        max_det=config.max_det,
    )
    with ExitStack() as stack:
        probes = {name: stack.enter_context(Probe(str(path), job, threads)) for name, path in files.items()}
        samples = take_turns(probes, config.images, config.warmup, listener)
        return {
            name: {**figures(samples[name]), "load_seconds": probe.load_seconds, "memory_mb": probe.memory}
            for name, probe in probes.items()
        }


def _flat(formats: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{name}/{key}": value for name, figures in formats.items() for key, value in figures.items()}


def _formats(config: BenchmarkConfig, model: str) -> tuple[BenchmarkFormat, ...]:
    """Those that are compared. Raises UsageError for one that the model does not have."""
    if Path(model).suffix != ".onnx":
        return config.formats or ("torch", "onnx")
    if set(config.formats or ("onnx",)) != {"onnx"}:
        raise UsageError(f"model={model}: is an exported model; leave out formats=, or give the checkpoint")
    return ("onnx",)


def _files(formats: Sequence[BenchmarkFormat], inputs: BenchmarkInputs, digest: str) -> dict[str, Path]:
    """The file of each format that exists already. digest: the model's."""
    model = Path(inputs.model)
    alone = {"onnx": model} if model.suffix == ".onnx" else {"torch": model} if "torch" in formats else {}
    if not inputs.exported:
        return alone
    record = ExportRecord.load(Path(inputs.exported))
    if digest not in (record.inputs["model"], record.artifacts["model"].digest):
        raise UsageError(f"exported={inputs.exported}: is not of model={inputs.model}; export that model first")
    return {"onnx": Path(inputs.exported) / record.artifacts["model"].path, **alone} if "onnx" in formats else alone


def _export(config: BenchmarkConfig, inputs: BenchmarkInputs, folder: Path, listener: Listener) -> Path:
    # Only here, since it brings torch.
    from yolocore.modes.export import export

    record = export(
        ExportConfig(imgsz=config.imgsz), ExportInputs(model=inputs.model, data=inputs.data), folder, listener
    )
    return folder / record.artifacts["model"].path


def _common_size(config: BenchmarkConfig, detectors: Mapping[str, Detector]) -> int:
    """Side in pixels of the square that all formats are given."""
    sizes = {}
    for name, detector in detectors.items():
        fixed = detector.shape if isinstance(detector, LocalDetector) else None
        sizes[name] = fixed[0] if fixed else config.imgsz or detector.meta.imgsz
    wanted = config.imgsz or next(iter(sizes.values()))
    if set(sizes.values()) != {wanted}:
        found = ", ".join(f"{name} runs at {size}" for name, size in sizes.items())
        raise UsageError(f"imgsz={wanted}: {found}; export the model at the size that is to be compared")
    return wanted
