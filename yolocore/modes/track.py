"""track: follow the objects of a video, and measure how well where the truth lies beside it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import scipy

from yolocore.config import IngestConfig, TrackConfig
from yolocore.data.demo import VIDEO, write_video
from yolocore.errors import ModelError
from yolocore.media import is_live
from yolocore.modes.inputs import DEMO, TrackInputs, model_digest, source_digest
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import TrackRecord
from yolocore.runtimes.detector import open_detector
from yolocore.store import file_digest, json_digest
from yolocore.track.metrics import evaluate_tracks
from yolocore.track.mot import TrackTable, read_mot
from yolocore.track.video import TRACKS_FILE, VIDEO_FILE, TrackSummary, track_video

# Where true tracks are looked for, relative to a video's folder: beside it, or as MOTChallenge lays them out.
TRUTH_FILES = ("gt.txt", "gt/gt.txt")


def track(config: TrackConfig, inputs: TrackInputs, out: Path, listener: Listener = SILENT) -> TrackRecord:
    """Follow objects through a video file, a webcam, a stream, or the built-in video.

    Leaves `tracks.txt` (MOT text) and, with `save`, `tracked.mp4`. A video that has its true tracks in a `gt.txt`
    beside it (or in `gt/gt.txt`) is also measured: HOTA, MOTA, IDF1. Every run on a webcam or stream is a new one.
    Any model that finds objects will do; their boxes are followed.
    Raises DataError, ModelError, ServiceError and StorageError.
    """
    digests = {"model": model_digest(inputs.model), **_source_digests(inputs.source)}
    with Step(TrackRecord, config, digests, out) as step:
        if step.finished:
            return step.finished
        source = _demo_video(step.work) if inputs.source == DEMO else inputs.source
        truth_path = find_truth(source)
        truth = read_mot(truth_path) if truth_path else None
        detector = open_detector(inputs.model, config.device, config.half)
        if detector.meta.task == "classify":
            raise ModelError(f"model={inputs.model}: is for classify and finds nothing to follow; give one for detect")
        summary = track_video(detector, source, config, step.work, listener)
        frames = len(summary.frames)
        return step.publish(
            metrics=measure(truth, step.work / TRACKS_FILE, summary) if truth is not None else {},
            artifacts={"tracks": TRACKS_FILE},
            views=[VIDEO_FILE] if config.save else [],
            versions={"numpy": np.__version__, "opencv": cv2.__version__, "scipy": scipy.__version__},
            timings={
                "fps": frames / summary.seconds,
                **detector.timings.milliseconds(),
                "associate_ms": 1000 * summary.associate_seconds / frames,
            },
            frames=frames,
            tracks=summary.identities,
        )


def _source_digests(source: str) -> dict[str, str]:
    """What decides the tracks of a source: its content and the truth beside it; for a live one, the moment."""
    if source == DEMO:
        return {"source": json_digest({"source": DEMO})}
    digests = {"source": source_digest(source)}
    if truth_path := find_truth(source):
        digests["truth"] = file_digest(truth_path)
    if is_live(source):
        digests["recorded"] = str(time.time_ns())
    return digests


def _demo_video(folder: Path) -> str:
    """Paint the built-in video, with its true tracks, as `ingest` does with its defaults."""
    defaults = IngestConfig()
    write_video(folder, defaults.demo_imgsz, defaults.seed)
    return str(folder / VIDEO)


def find_truth(source: str) -> Path | None:
    """The file of true tracks that lies beside a video, if there is one."""
    if is_live(source):
        return None
    candidates = (Path(source).parent / name for name in TRUTH_FILES)
    return next((path for path in candidates if path.is_file()), None)


def measure(truth: TrackTable, tracks: Path, summary: TrackSummary) -> dict[str, float]:
    """Figures of the tracks on the frames that were looked at; none where the truth has nothing in them."""
    seen = truth[np.isin(truth.frames, summary.frames)]
    if not len(seen):
        return {}
    return {name: float(value) for name, value in asdict(evaluate_tracks(seen, read_mot(tracks))).items()}
