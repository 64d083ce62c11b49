"""New data or settings against the champion."""

from __future__ import annotations

from kfp import dsl

from components.catch_up import catch_up
from components.conclude import conclude
from components.ingest.component import ingest
from components.news import news
from pipelines.form import Settings, form
from pipelines.kubernetes import CLUSTER, done_each_time, light, promoting, step
from pipelines.learning import learned
from pipelines.proving import proven_and_served
from pipelines.training import SECTIONS as TRAINING
from yolocore.config import Section
from yolocore.config.base import option


class RetrainingInputs(Section):
    """Why it runs."""

    commit: str = option("", "commit whose settings these are; kept in the run's record")


SECTIONS = {"retraining": RetrainingInputs, **TRAINING}


@dsl.pipeline(name="retraining")
@form(SECTIONS, CLUSTER)
def retraining(settings: Settings) -> None:
    """New data or settings against the champion; ends early, and well, when there is nothing new.

    1. ingest: the images and labels as they are now become a dataset
    2. train: a detector learns from it, or the object store has what the same data and settings gave before
    3. news: whether the champion was made from that very checkpoint
    4. if so, catch_up: production is told of the champion after all, where an earlier run could not
    5. if not, as in training: val, export, benchmark
    6. gate: it stands against the champion, on the same images
    7. deploy, track
    8. promote: a commit tells production of it, if there is a repository that the cluster follows

    Whatever becomes of them, the run's record is written at the end.
    """
    start = settings["pipeline"]
    handler = conclude(commit=settings["retraining"]["commit"])
    with dsl.ExitHandler(step(done_each_time(light(handler))), name="steps"):
        # A source's name says nothing of what is there now.
        ingested = ingest(source=start["source"], **settings["ingest"])
        dataset = step(done_each_time(light(ingested))).outputs["dataset"]

        checkpoint = learned(dataset, settings)

        asked = news(checkpoint=checkpoint, name=settings["deploy"]["name"])
        found = step(done_each_time(light(asked))).outputs["Output"]
        with dsl.If(found == "same", name="same"), dsl.If(settings["promotion"]["url"] != "", name="behind"):
            told = catch_up(name=settings["deploy"]["name"], **settings["promotion"])
            step(done_each_time(promoting(light(told))))
        with dsl.If(found == "changed", name="changed"):
            proven_and_served(checkpoint, dataset, settings)
