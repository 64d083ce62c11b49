"""From images and labels to a verified endpoint."""

from __future__ import annotations

from kfp import dsl

from components.conclude import conclude
from components.ingest.component import ingest
from pipelines.form import Settings, form, of_tree
from pipelines.kubernetes import CLUSTER, done_each_time, light, step
from pipelines.learning import TOGETHER, learned
from pipelines.promotion import PromotionInputs
from pipelines.proving import proven_and_served

SECTIONS = {
    **of_tree("pipeline", "ingest", "train", "val", "export", "benchmark", "gate", "deploy", "track"),
    "promotion": PromotionInputs,
    **TOGETHER,
}


@dsl.pipeline(name="training")
@form(SECTIONS, CLUSTER)
def training(settings: Settings) -> None:
    """From images and labels to a verified endpoint.

    1. ingest: images and labels become a dataset
    2. train: a detector learns from it
    3. val: its checkpoint is measured
    4. export: the checkpoint becomes a deployable model, one in each format, each proven to be the same
    5. benchmark: their accuracy, speed and size are measured
    6. gate: it stands against the champion, on the same images
    7. deploy: it is served, and verified through the server
    8. track: it follows the objects of a video
    9. promote: a commit tells production of it, if there is a repository that the cluster follows

    Whatever becomes of them, the run's record is written at the end.
    """
    start = settings["pipeline"]
    with dsl.ExitHandler(step(done_each_time(light(conclude()))), name="steps"):
        ingested = ingest(source=start["source"], **settings["ingest"])
        dataset = step(light(ingested)).outputs["dataset"]

        checkpoint = learned(dataset, settings)

        proven_and_served(checkpoint, dataset, settings)
