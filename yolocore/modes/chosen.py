"""The images and objects that the settings of train or val leave of a split."""

from __future__ import annotations

from yolocore.config import TrainConfig, ValConfig
from yolocore.data import Dataset
from yolocore.data.dataset import Split
from yolocore.data.subset import subset
from yolocore.errors import DataError, UsageError
from yolocore.meta import Task


def chosen(dataset: Dataset, name: str, task: Task, config: TrainConfig | ValConfig, fraction: float = 1.0) -> Split:
    """The split of this name as a task sees it. fraction: share of its images, drawn by the config's seed.

    Raises UsageError for a class that the dataset hasn't, DataError where nothing is left of the images.
    """
    for label in config.classes or ():
        if not 0 <= label < len(dataset.names):
            raise UsageError(f"classes={label}: the dataset has {len(dataset.names)} classes, from 0 on")
    split = dataset.split(name)
    single_cls, seed = (config.single_cls, config.seed) if isinstance(config, TrainConfig) else (False, 0)
    # A picture of background teaches a detector something; a classifier has no name for it.
    part = subset(split, fraction, config.classes, single_cls, seed, background=task != "classify")
    if len(split) and not len(part):
        wanted = ",".join(map(str, config.classes or ()))
        raise DataError(f"data={dataset.path}: its split {name} has no images of classes={wanted}; give others")
    return part
