"""The settings of training, searched."""

from __future__ import annotations

from kfp import dsl
from pydantic import Field

from components.conclude import conclude
from components.ingest.component import ingest
from components.tune.component import tune
from components.val.component import val
from pipelines.form import Settings, form, of_tree
from pipelines.kubernetes import CLUSTER, accelerated, done_each_time, heavy, light, long, step
from yolocore.config import Section


class SearchInputs(Section):
    """What every training of the search starts from."""

    source: str = Field("demo", description="images and labels: folder, archive or URI; demo: the built-in data")
    model: str = Field("yolo11n", description="checkpoint that training starts from, or an architecture")


SECTIONS = {"search": SearchInputs, **of_tree("ingest", "tune", "val")}


@dsl.pipeline(name="search")
@form(SECTIONS, CLUSTER)
def search(settings: Settings) -> None:
    """The settings of training, searched.

    1. ingest: images and labels become a dataset
    2. tune: one training after another, each with the settings that look best by then; one that is lost goes on
    3. val: the checkpoint of the best is measured

    Whatever becomes of them, the run's record is written at the end.
    """
    given = settings["search"]
    with dsl.ExitHandler(step(done_each_time(light(conclude()))), name="steps"):
        ingested = ingest(source=given["source"], **settings["ingest"])
        dataset = step(light(ingested)).outputs["dataset"]

        found = tune(dataset=dataset, model=given["model"], **settings["tune"])
        checkpoint = step(long(found)).outputs["checkpoint"]

        measured = val(model=checkpoint, dataset=dataset, **settings["val"])
        step(accelerated(heavy(measured)))
