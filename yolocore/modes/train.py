"""train: learn a model of any task, from scratch or from a checkpoint, and measure its best weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from yolocore.config import TrainConfig, ValConfig
from yolocore.data import Dataset, open_dataset
from yolocore.data.dataset import Split
from yolocore.data.pictures import draw_statistics
from yolocore.errors import DataError
from yolocore.memory import reused_memory
from yolocore.meta import Task
from yolocore.model.device import select_device
from yolocore.modes.chosen import chosen
from yolocore.modes.inputs import TrainInputs, model_digest
from yolocore.modes.step import Step
from yolocore.modes.val import examine
from yolocore.progress import SILENT, Listener
from yolocore.records import TrainRecord
from yolocore.runtimes.detector import engine_versions, open_detector
from yolocore.train.group import join, own_device
from yolocore.train.loop import BEST, LAST, PICTURE, STATE, TABLE, Trainer
from yolocore.train.process import deterministic, memory_errors
from yolocore.train.start import check_labels, choose_origin, start_from
from yolocore.train.views import draw_curves

CURVES, LABELS, PREDICTIONS = "results.png", "labels.png", "val_predictions.jpg"


def train(config: TrainConfig, inputs: TrainInputs, out: Path, listener: Listener = SILENT) -> TrainRecord:
    """Train, and leave the best weights (by fitness on val), the last ones, a table and curves of the epochs.

    Killed at any moment and called again, it goes on and ends in the same weights. Started by torchrun as several
    processes, these train one model together. Raises PreemptedError on SIGTERM, when all is saved; UsageError for
    a device that is not there and a batch that does not fit in memory; DataError, ModelError and StorageError;
    RefusedError when the loss diverges.
    """
    model = model_digest(inputs.model)
    dataset = open_dataset(inputs.data)
    origin = choose_origin(inputs.model, config)
    check_labels(dataset, origin)
    images, val_images = (_images(dataset, name, origin.task, config) for name in ("train", "val"))
    device = own_device(select_device(config.device))
    with join(device) as group, deterministic(), reused_memory(), memory_errors(config):

        def trainer(work: Path, listener: Listener, saved: Callable[[], None] = lambda: None) -> Trainer:
            network, meta = start_from(origin, dataset, config, listener)
            return Trainer(
                network,
                meta,
                images,
                val_images,
                config,
                device,
                work,
                listener,
                flip_idx=dataset.flip_idx,
                group=group,
                saved=saved,
            )

        if not group.first:  # whether there is work, and what came of it, the first one says
            if group.share(False):
                trainer(out, SILENT).run()
            return TrainRecord.model_validate_json(group.share(""))

        digests = {"model": model, "data": dataset.digest}
        with Step(TrainRecord, config, digests, out, resumable=True, resume=config.resume, listener=listener) as step:
            group.share(step.finished is None)
            if (record := step.finished) is None:
                training = trainer(step.work, listener, step.saved)
                record = _lead(training, step, dataset, val_images, config, listener)
            group.share(record.to_json())
            return record


def _lead(
    trainer: Trainer,
    step: Step[TrainRecord],
    dataset: Dataset,
    val_images: Split,
    config: TrainConfig,
    listener: Listener,
) -> TrainRecord:
    """Train, measure and publish."""
    work, images, meta = step.work, trainer.images, trainer.meta
    trainer.run()
    best = open_detector(str(work / BEST), config.device)
    examined = examine(best, val_images, meta.names, ValConfig(), work / PREDICTIONS, listener)
    draw_statistics([images], meta.names, work / LABELS, dataset.legend.whole)
    state = trainer.state
    draw_curves(state.rows, meta.task, work / CURVES)
    (work / STATE).unlink()
    pictures = sorted(path.name for path in work.glob(PICTURE.format("*")))
    return step.publish(
        metrics=examined.metrics.summary(),
        artifacts={"best": BEST, "last": LAST},
        views=[TABLE, CURVES, LABELS, *pictures, *examined.views],
        versions=engine_versions(BEST),
        timings={"images_per_second": len(images) * len(state.rows) / state.seconds},
        batch=state.batch_size,
        epochs=state.epoch,
        best_epoch=state.best_epoch,
        fitness=examined.metrics.fitness,
    )


def _images(dataset: Dataset, name: str, task: Task, config: TrainConfig) -> Split:
    """The images and objects of a split that the settings leave. Raises DataError where there are none."""
    images = chosen(dataset, name, task, config, config.fraction if name == "train" else 1.0)
    if not len(images):
        raise DataError(f"data={dataset.path}: its split {name} has no images; training needs some")
    return images
