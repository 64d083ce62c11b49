"""train: learn a detector, from scratch or from a checkpoint, and measure its best weights."""

from __future__ import annotations

from pathlib import Path

from yolocore.config import TrainConfig, ValConfig
from yolocore.data import open_dataset
from yolocore.errors import DataError
from yolocore.evaluate import evaluate
from yolocore.model.device import select_device
from yolocore.modes.inputs import TrainInputs, model_digest
from yolocore.modes.step import Step
from yolocore.progress import SILENT, Listener
from yolocore.records import TrainRecord
from yolocore.runtimes.detector import engine_versions, open_detector
from yolocore.train.loop import BEST, LAST, PICTURES, STATE, TABLE, Trainer
from yolocore.train.process import deterministic, memory_errors
from yolocore.train.start import start_from
from yolocore.train.views import draw_curves

CURVES = "results.png"


def train(config: TrainConfig, inputs: TrainInputs, out: Path, listener: Listener = SILENT) -> TrainRecord:
    """Train, and leave the best weights (by val mAP50-95), the last ones, a table and curves of the epochs.

    Killed at any moment and called again, it goes on and ends in the same weights. Raises PreemptedError
    on SIGTERM, when all is saved; UsageError for a device that is not there and a batch that does not fit
    in memory; DataError, ModelError and StorageError; RefusedError when the loss diverges.
    """
    dataset = open_dataset(inputs.data)
    for name in ("train", "val"):
        if not len(dataset.split(name)):
            raise DataError(f"data={inputs.data}: its split {name} has no images; training needs some")
    device = select_device(config.device)
    digests = {"model": model_digest(inputs.model), "data": dataset.digest}
    with Step(TrainRecord, config, digests, out, resumable=True) as step:
        if step.finished:
            return step.finished
        with deterministic(), memory_errors(config):
            model, meta = start_from(inputs.model, dataset.names, config, listener)
            trainer = Trainer(model, meta, dataset, config, device, step.work, listener)
            trainer.run()
            best = open_detector(str(step.work / BEST), config.device)
            metrics = evaluate(best, dataset.split("val"), ValConfig(), listener)
        state = trainer.state
        draw_curves(state.rows, step.work / CURVES)
        (step.work / STATE).unlink()
        return step.publish(
            metrics=metrics.summary(),
            artifacts={"best": BEST, "last": LAST},
            views=[TABLE, CURVES, *(name for name in PICTURES if (step.work / name).exists())],
            versions=engine_versions(BEST),
            timings={"images_per_second": len(dataset.split("train")) * len(state.rows) / state.seconds},
            epochs=state.epoch,
            best_epoch=state.best_epoch,
        )
