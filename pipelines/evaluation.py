"""Any model on any dataset."""

from __future__ import annotations

from kfp import dsl
from pydantic import Field

from components.conclude import conclude
from components.ingest.component import ingest
from components.val.component import val
from pipelines.form import Settings, form, of_tree
from pipelines.kubernetes import CLUSTER, accelerated, done_each_time, heavy, light, step
from yolocore.config import Section


class EvaluationInputs(Section):
    """What is measured, and on what."""

    model: str = Field(..., description="URI of the folder of a train or export step: s3://…, or a path of the cluster")
    source: str = Field("demo", description="images and labels: folder, archive or URI; demo: the built-in data")


SECTIONS = {"evaluation": EvaluationInputs, **of_tree("ingest", "val")}


@dsl.pipeline(name="evaluation")
@form(SECTIONS, CLUSTER)
def evaluation(settings: Settings) -> None:
    """Any model on any dataset.

    1. ingest: images and labels become a dataset
    2. val: the model is measured on it

    Whatever becomes of them, the run's record is written at the end.
    """
    given = settings["evaluation"]
    with dsl.ExitHandler(step(done_each_time(light(conclude()))), name="steps"):
        ingested = ingest(source=given["source"], **settings["ingest"])
        dataset = step(light(ingested)).outputs["dataset"]

        model = dsl.importer(artifact_uri=given["model"], artifact_class=dsl.Model)
        measured = val(model=model.output, dataset=dataset, **settings["val"])
        step(accelerated(heavy(measured)))
