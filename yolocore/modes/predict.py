"""predict: look at images and videos."""

from __future__ import annotations

import time
from pathlib import Path

from yolocore.config import PredictConfig
from yolocore.media import is_live
from yolocore.modes.inputs import PredictInputs, model_digest
from yolocore.modes.step import Step
from yolocore.predict import find_media
from yolocore.predict import predict as predict_source
from yolocore.predict.loop import LABELS_FOLDER, ROWS_FILE
from yolocore.progress import SILENT, Listener
from yolocore.records import PredictRecord
from yolocore.runtimes.detector import check_task, engine_versions, open_detector
from yolocore.store import file_digest, json_digest

_MOST_VIEWS = 16  # drawn pictures that the record shows; the others lie beside them


def predict(config: PredictConfig, inputs: PredictInputs, out: Path, listener: Listener = SILENT) -> PredictRecord:
    """Look at everything that `inputs.source` stands for: rows of JSON, YOLO text, drawn pictures.

    Every run on a webcam, stream or URL is a new one. Raises DataError, ModelError (also where the
    model is not for `config.task`), ServiceError, StorageError, and UsageError for classes that it doesn't have.
    """
    digests = {"model": model_digest(inputs.model), "source": source_digest(inputs.source)}
    with Step(PredictRecord, config, digests, out) as step:
        if step.finished:
            return step.finished
        detector = open_detector(inputs.model, config.device, config.half)
        check_task(inputs.model, detector.meta, config.task)
        summary = predict_source(detector, inputs.source, config, step.work, listener)
        return step.publish(
            metrics={"frames": summary.frames, "objects": summary.objects.total()},
            artifacts={"predictions": ROWS_FILE, **({"labels": LABELS_FOLDER} if config.save_txt else {})},
            views=summary.pictures[:_MOST_VIEWS],
            versions=engine_versions(inputs.model),
            timings={"fps": summary.frames / summary.seconds, **detector.timings.milliseconds()},
            frames=summary.frames,
            objects=dict(sorted(summary.objects.items())),
        )


def source_digest(source: str) -> str:
    """Digest of names and content of all files that a source stands for; a live one never has the same twice."""
    if is_live(source):
        return json_digest({"source": source, "at": time.time_ns()})
    return json_digest({media.name: file_digest(Path(media.where)) for media in find_media(source)})
