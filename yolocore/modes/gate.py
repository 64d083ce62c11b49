"""gate: may a challenger be deployed? Only if it is not worse than the champion.

1. find the champion: what the repository serves, or the one that is given
2. run both served graphs over the challenger's validation images, under the same limits of score, overlap and rows
3. resample the images: how sure is the difference, over all and class by class
4. compare with the limits; a refusal leaves its reasons beside `out`, and no record

Without a champion only the challenger's own limits count.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from yolocore.config import GateConfig
from yolocore.data import open_dataset
from yolocore.data.dataset import Dataset, Split
from yolocore.errors import DataError, RefusedError, UsageError
from yolocore.evaluate import in_classes_of
from yolocore.evaluate.bootstrap import paired_bootstrap
from yolocore.evaluate.comparison import Comparison, draw_comparison, markdown_table
from yolocore.evaluate.metrics import DetectionMetrics
from yolocore.evaluate.served import Limits, evaluate_served
from yolocore.modes.inputs import GateInputs
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import FILE_NAME, BenchmarkRecord, GateRecord
from yolocore.runtimes.detector import TRITON_SCHEMES, engine_versions
from yolocore.runtimes.onnx import open_session, read_meta
from yolocore.runtimes.served import ServedGraph
from yolocore.runtimes.triton import TritonDetector, served_digest
from yolocore.serve import repository as models
from yolocore.serve.exported import Exported
from yolocore.store import file_digest

TABLE, PICTURE = "gate.md", "gate.png"

Figures = dict[str, float]


def gate(config: GateConfig, inputs: GateInputs, out: Path, listener: Listener = SILENT) -> GateRecord:
    """Let an exported model pass, or raise RefusedError with every reason.

    The evidence of a refusal, a table and a picture, is put into a folder named as `out`, with `.refused` behind.
    Raises DataError and ModelError for inputs that are missing or broken or of other classes, ServiceError for a
    champion behind a server that does not answer, and UsageError for a limit that nothing given can be held to.
    """
    exported = Exported.read(Path(inputs.exported))
    dataset = open_dataset(inputs.data)
    split = dataset.split(config.split)
    digests = {"serving": file_digest(exported.serving), "data": split.digest}
    champion = _find_champion(inputs, config)
    if champion is not None:
        digests["champion"] = champion.digest
    latency: Figures = {}
    if inputs.benchmark:
        latency = _latency(Path(inputs.benchmark), exported)
        digests["benchmark"] = file_digest(Path(inputs.benchmark) / FILE_NAME)
    elif config.max_latency_ms is not None:
        raise UsageError(
            f"max_latency_ms={config.max_latency_ms}: needs the challenger's latency; give benchmark= the folder of "
            "its benchmark step, or leave the limit out"
        )
    with Step(GateRecord, config, digests, out) as step:
        if step.finished:
            return step.finished
        challenger = ServedGraph(exported.serving, exported.conf, exported.iou, exported.max_det, config.device)
        split = in_classes_of(challenger, dataset, split, listener)
        digest = _entry_digest(exported)
        figures: Figures = {"megabytes": exported.serving.stat().st_size / 1e6}
        same = champion is not None and champion.digest == digest
        if champion is None:
            listener.note(f"{config.name} has no champion yet: only the limits of the model itself count")
            limits = Limits.of([challenger.info])
            alone = evaluate_served(challenger, split, challenger.info, listener)
            figures |= {"map50_95": alone.map50_95, "map50": alone.map50}
            classes, comparison = _alone(alone), None
        else:
            if same:
                listener.note(f"the champion is this very model ({digest}): it cannot be worse")
            limits, comparison = _compare(challenger, champion, same, dataset, split, config, listener)
            figures |= comparison.summary()
            classes = comparison.per_class()
        views = _write_views(step.work, figures, classes, comparison, config)
        reasons = _reasons(config, figures | latency, {} if same or comparison is None else classes)
        if reasons:
            raise RefusedError(f"{inputs.exported} is refused: {'; '.join(reasons)}; see {step.refuse()}")
        return step.publish(
            metrics={**figures, **limits._asdict()},
            artifacts={},
            views=views,
            versions=engine_versions(str(exported.serving)),
            timings=latency,
            challenger=digest,
            champion="" if champion is None else champion.digest,
            per_class=classes,
        )


@dataclass(frozen=True)
class _Champion:
    """digest: of its entry in a repository, wherever it is. open: to run it on a device; closed by the caller."""

    source: str
    digest: str
    open: Callable[[str], AbstractContextManager[ServedGraph | TritonDetector]]


def _find_champion(inputs: GateInputs, config: GateConfig) -> _Champion | None:
    """The given one, else what the repository serves under the name; None: nothing yet."""
    source = inputs.champion
    if source.startswith(TRITON_SCHEMES):
        return _Champion(source, served_digest(source), lambda _: TritonDetector(source))
    if source:
        exported = Exported.read(Path(source), "champion")

        def open_exported(device: str) -> AbstractContextManager[ServedGraph]:
            graph = ServedGraph(exported.serving, exported.conf, exported.iou, exported.max_det, device)
            return contextlib.nullcontext(graph)

        return _Champion(source, _entry_digest(exported), open_exported)
    entry = models.live_entry(Path(inputs.repository), config.name)
    if entry is None:
        return None
    info, model = entry.info, entry.model

    def open_entry(device: str) -> AbstractContextManager[ServedGraph]:
        return contextlib.nullcontext(ServedGraph(model, info.conf, info.iou, info.max_det, device))

    return _Champion(f"{inputs.repository}/{config.name}", entry.digest, open_entry)


def _entry_digest(exported: Exported) -> str:
    """Digest of the repository entry that deployment would make of an export."""
    info = exported.info(read_meta(open_session(exported.serving, "cpu"), exported.serving))
    with tempfile.TemporaryDirectory(prefix="yolo-") as folder:
        return models.write_entry(Path(folder), "entry", exported.serving, info)


def _latency(benchmark: Path, exported: Exported) -> Figures:
    """Milliseconds for one image, as the challenger's benchmark measured them.

    Raises UsageError for the benchmark of another model.
    """
    record = BenchmarkRecord.load(benchmark)
    if record.inputs.get("onnx") != file_digest(exported.network):
        raise UsageError(
            f"benchmark={benchmark}: is not of {exported.network}; run yolo benchmark with exported= that export"
        )
    return {f"latency_{p}_ms": record.timings[f"onnx/{p}_ms"] for p in ("p50", "p95")}


def _compare(
    challenger: ServedGraph,
    champion: _Champion,
    same: bool,
    dataset: Dataset,
    split: Split,
    config: GateConfig,
    listener: Listener,
) -> tuple[Limits, Comparison]:
    """Both on the same images under the same limits, which are the stricter ones of the two."""
    with champion.open(config.device) as other:
        if len(other.meta.names) != len(challenger.meta.names):
            raise DataError(
                f"champion {champion.source}: knows {len(other.meta.names)} classes and the challenger "
                f"{len(challenger.meta.names)}, so they cannot be compared; deploy the new classes under another name="
            )
        in_classes_of(other, dataset, split, listener)
        limits = Limits.of([challenger.info, other.info])
        if Limits.of([challenger.info]) != Limits.of([other.info]):
            listener.note(f"both are held to the stricter limits: {_said(limits)}")
        if challenger.meta.imgsz != other.meta.imgsz:
            listener.note(f"each at its own size: {challenger.meta.imgsz} pixels, champion {other.meta.imgsz}")
        ours = evaluate_served(challenger, split, challenger.info, listener, limits)
        theirs = ours if same else evaluate_served(other, split, other.info, listener, limits)
    gains = paired_bootstrap(
        ours.principal, theirs.principal, len(split), resamples=config.resamples, seed=config.seed, listener=listener
    )
    comparison = Comparison(ours, theirs, gains, config.confidence)
    listener.note(_gained(comparison.summary(), config))
    return limits, comparison


def _alone(metrics: DetectionMetrics) -> dict[str, Figures]:
    return {name: {key: row[key] for key in ("objects", "map50_95")} for name, row in metrics.per_class().items()}


def _said(limits: Limits) -> str:
    return ", ".join(f"{name}={value}" for name, value in limits._asdict().items())


def _gained(figures: Mapping[str, float], config: GateConfig) -> str:
    return (
        f"mAP50-95 is {figures['map50_95']:.4f} and the champion's {figures['champion_map50_95']:.4f}, a gain of "
        f"{figures['gain']:+.4f} ({100 * config.confidence:g} % interval {figures['gain_low']:+.4f} to "
        f"{figures['gain_high']:+.4f})"
    )


def _reasons(config: GateConfig, figures: Mapping[str, float], compared: Mapping[str, Figures]) -> list[str]:
    """Why the model is refused, with figures and limits; nothing if it passes.

    compared: figures of each class beside the champion's; empty: there is no other champion.
    """
    reasons = []
    if compared and not figures["gain_low"] > config.min_map_gain:
        reasons.append(f"{_gained(figures, config)}, not surely above min_map_gain={config.min_map_gain}")
    for name, row in compared.items():
        few = row["objects"] < config.class_objects
        drop = -row["gain_high"] if few else -row["gain"]
        if drop > config.max_class_drop:
            reasons.append(
                f"class {name!r} loses {'at least ' if few else ''}{drop:.4f} of {row['champion_map50_95']:.4f}, "
                f"more than max_class_drop={config.max_class_drop}"
            )
    if figures["map50_95"] < config.min_map:
        reasons.append(f"mAP50-95 is {figures['map50_95']:.4f}, below min_map={config.min_map}")
    if config.max_latency_ms is not None and figures["latency_p95_ms"] > config.max_latency_ms:
        reasons.append(
            f"it takes {figures['latency_p95_ms']:.4g} ms (p95), more than max_latency_ms={config.max_latency_ms}"
        )
    if config.max_megabytes is not None and figures["megabytes"] > config.max_megabytes:
        reasons.append(f"it has {figures['megabytes']:.4g} MB, more than max_megabytes={config.max_megabytes}")
    return reasons


def _write_views(
    folder: Path,
    figures: Figures,
    classes: Mapping[str, Figures],
    comparison: Comparison | None,
    config: GateConfig,
) -> tuple[str, ...]:
    total = {**figures, "objects": sum(row["objects"] for row in classes.values())}
    (folder / TABLE).write_text(markdown_table({"all classes": total, **classes}), encoding="utf-8")
    if comparison is None:
        return (TABLE,)
    draw_comparison(comparison, config.min_map_gain, folder / PICTURE)
    return (TABLE, PICTURE)
