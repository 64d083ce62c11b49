"""A model finds objects in a folder of images."""

from __future__ import annotations

from kfp import dsl
from pydantic import Field

from components.conclude import conclude
from components.predict.component import predict
from pipelines.form import Settings, form, of_tree
from pipelines.kubernetes import CLUSTER, done_each_time, heavy, light, step
from yolocore.config import Section


class PredictionInputs(Section):
    """What is looked at, and by which model."""

    model: str = Field(..., description="URI of the folder of an export step: s3://…, or a path of the cluster")
    images: str = Field(..., description="URI of a folder of images and videos: s3://…, or a path of the cluster")


SECTIONS = {"prediction": PredictionInputs, **of_tree("predict")}


@dsl.pipeline(name="batch-prediction")
@form(SECTIONS, CLUSTER)
def batch_prediction(settings: Settings) -> None:
    """A model finds objects in a folder of images.

    1. predict: labels as text, and pictures with the objects drawn

    Whatever becomes of them, the run's record is written at the end.
    """
    given = settings["prediction"]
    with dsl.ExitHandler(step(done_each_time(light(conclude()))), name="steps"):
        model = dsl.importer(artifact_uri=given["model"], artifact_class=dsl.Model)
        images = dsl.importer(artifact_uri=given["images"], artifact_class=dsl.Dataset)
        found = predict(model=model.output, images=images.output, **settings["predict"])
        step(heavy(found))
