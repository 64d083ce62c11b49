"""From images and labels to a verified endpoint."""

from __future__ import annotations

from kfp import dsl

from components.benchmark.component import benchmark
from components.conclude import conclude
from components.deploy.component import deploy
from components.export.component import export
from components.gate.component import gate
from components.ingest.component import ingest
from components.promote import promote
from components.track.component import track
from components.train.component import train
from components.val.component import val
from pipelines.form import Settings, form, of_tree
from pipelines.kubernetes import CLUSTER, done_each_time, heavy, light, long, promoting, step, with_repository
from pipelines.promotion import PromotionInputs

SECTIONS = {
    **of_tree("pipeline", "ingest", "train", "val", "export", "benchmark", "gate", "deploy", "track"),
    "promotion": PromotionInputs,
}


@dsl.pipeline(name="training")
@form(SECTIONS, CLUSTER)
def training(settings: Settings) -> None:
    """From images and labels to a verified endpoint.

    1. ingest: images and labels become a dataset
    2. train: a detector learns from it
    3. val: its checkpoint is measured
    4. export: the checkpoint becomes a deployable model, proven to be the same
    5. benchmark: its accuracy, speed and size are measured
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

        trained = train(dataset=dataset, model=start["model"], **settings["train"])
        checkpoint = step(long(trained)).outputs["checkpoint"]

        measured = val(model=checkpoint, dataset=dataset, **settings["val"])
        step(heavy(measured))

        written = export(checkpoint=checkpoint, dataset=dataset, **settings["export"])
        exported = step(heavy(written)).outputs["exported"]

        compared = benchmark(exported=exported, dataset=dataset, **settings["benchmark"])
        comparison = step(done_each_time(heavy(compared))).outputs["comparison"]

        judged = gate(
            exported=exported,
            dataset=dataset,
            comparison=comparison,
            champion=start["champion"],
            **settings["gate"],
        )
        step(done_each_time(with_repository(heavy(judged))))

        served = deploy(exported=exported, dataset=dataset, **settings["deploy"])
        deployment = step(done_each_time(with_repository(light(served.after(judged))))).outputs["deployment"]

        followed = track(model=exported, source=start["video"], **settings["track"])
        step(heavy(followed))

        with dsl.If(settings["promotion"]["url"] != "", name="followed"):
            told = promote(deployment=deployment, **settings["promotion"]).after(followed)
            step(done_each_time(promoting(light(told))))
