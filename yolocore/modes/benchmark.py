"""benchmark: the formats of a model side by side.

1. find each format's model; one that no export step has made is exported for the occasion
2. accuracy: the evaluator over the split, every format at the same square shape
3. speed and memory: each format in a process of its own, taking turns, with the same number of threads
4. the table and the picture
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from yolocore.benchmark.probe import Job, Probe
from yolocore.benchmark.timing import figures, take_turns
from yolocore.benchmark.views import accuracy_figures, csv_table, draw, markdown_table, terminal_table
from yolocore.config import BenchmarkConfig, ExportConfig, ValConfig
from yolocore.config.tree import BenchmarkFormat
from yolocore.data import open_dataset
from yolocore.errors import UsageError
from yolocore.evaluate import evaluate, in_classes_of
from yolocore.modes.inputs import BenchmarkInputs, ExportInputs, model_digest
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import BenchmarkRecord, BenchmarkRow, ExportRecord
from yolocore.runtimes.base import SUFFIXES
from yolocore.runtimes.detector import TRITON_SCHEMES, Detector, LocalDetector, engine_versions, open_detector
from yolocore.store import files_below, tree_digest

TABLE, SHEET, PICTURE = "benchmark.md", "benchmark.csv", "benchmark.png"
_FORMATS: tuple[str, ...] = get_args(BenchmarkFormat)
_CPU_ONLY = ("openvino",)
_OCCASION = "occasion"  # folder of exports that are made where none is given, and not kept


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
    found = _files(config, inputs, digests["model"])
    digests |= {name: tree_digest(path) for name, path in found.items() if path and name != "torch"}
    with Step(BenchmarkRecord, config, digests, out) as step:
        if step.finished:
            return step.finished
        files = {
            name: path or _export(name, config, inputs, step.work / _OCCASION / name, listener)
            for name, path in found.items()
        }
        detectors = {name: open_detector(str(path), config.device, config.half) for name, path in files.items()}
        first = next(iter(detectors.values()))
        dataset.check_task(first.meta.task, first.meta.keypoints)
        split = in_classes_of(first, dataset, split, listener)
        imgsz = _common_size(config, detectors)

        rows = []
        settings = ValConfig(imgsz=imgsz, conf=config.conf, iou=config.iou, max_det=config.max_det, rect=False)
        for name, detector in detectors.items():
            accuracy = accuracy_figures(evaluate(detector, split, settings, listener).summary())
            rows.append(BenchmarkRow(format=name, megabytes=_megabytes(files[name]), accuracy=accuracy))
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


def _files(config: BenchmarkConfig, inputs: BenchmarkInputs, digest: str) -> dict[str, Path | None]:
    """The formats that are compared, in their order, and where each one's model lies; None: nowhere yet.

    digest: the model's. Raises UsageError for a format that the model does not have, and for folders of others.
    """
    own = next((name for name in _FORMATS if Path(inputs.model).suffix == SUFFIXES[name]), "torch")
    files: dict[str, Path | None] = {**_exported(inputs, digest), own: Path(inputs.model)}
    if own == "torch":
        files = {name: files.get(name) for name in _FORMATS if not inputs.exported or name in files or config.formats}
    wanted = config.formats or [name for name in files if config.device in ("auto", "cpu") or name not in _CPU_ONLY]
    if missing := set(wanted) - set(files):
        raise UsageError(
            f"formats={','.join(config.formats or ())}: model={inputs.model} is an exported model, and {missing.pop()} "
            "is not there; give its export step's folder in exported=, or give the checkpoint, or leave out formats="
        )
    return {name: files[name] for name in _FORMATS if name in wanted}


def _exported(inputs: BenchmarkInputs, digest: str) -> dict[str, Path]:
    """The models in the folders of export steps. digest: the model's, to which they must belong."""
    records = [(folder, ExportRecord.load(Path(folder))) for folder in inputs.exported]
    made_from = {record.artifacts["model"].digest: record.inputs["model"] for _, record in records}
    checkpoint = made_from.get(digest, digest)
    files: dict[str, Path] = {}
    for folder, record in records:
        if record.inputs["model"] != checkpoint:
            raise UsageError(f"exported={folder}: is not of model={inputs.model}; export that model first")
        if record.format in files:
            raise UsageError(f"exported={folder}: is the second one as {record.format}; give one for each format")
        files[record.format] = Path(folder) / record.artifacts["model"].path
    return files


def _export(format: str, config: BenchmarkConfig, inputs: BenchmarkInputs, folder: Path, listener: Listener) -> Path:
    # Only here, since it brings torch.
    from yolocore.modes.export import export

    settings = ExportConfig.model_validate({"format": format, "imgsz": config.imgsz})
    record = export(settings, ExportInputs(model=inputs.model, data=inputs.data), folder, listener)
    return folder / record.artifacts["model"].path


def _megabytes(path: Path) -> float:
    """Size of a model, be it a file or a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else files_below(path))) / 1e6


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
