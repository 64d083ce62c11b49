"""What every pipeline that trains does with its checkpoint."""

from __future__ import annotations

from typing import Any

from kfp import dsl

from components.benchmark.component import benchmark
from components.deploy.component import deploy
from components.export.component import export
from components.gate.component import gate
from components.promote import promote
from components.track.component import track
from components.val.component import val
from pipelines.form import Settings
from pipelines.kubernetes import accelerated, done_each_time, heavy, light, promoting, step, with_repository


def proven_and_served(checkpoint: Any, dataset: Any, settings: Settings) -> None:
    """Measure it, export it, let it stand against the champion, serve it, and tell production.

    checkpoint, dataset: artifacts of the steps that made them.
    """
    start = settings["pipeline"]

    measured = val(model=checkpoint, dataset=dataset, **settings["val"])
    step(accelerated(heavy(measured)))

    exported, openvino = (_exported(format, checkpoint, dataset, settings) for format in ("onnx", "openvino"))

    compared = benchmark(exported=exported, openvino=openvino, dataset=dataset, **settings["benchmark"])
    comparison = step(done_each_time(heavy(compared))).outputs["comparison"]

    judged = gate(
        exported=exported, dataset=dataset, comparison=comparison, champion=start["champion"], **settings["gate"]
    )
    step(done_each_time(with_repository(heavy(judged))))

    served = deploy(exported=exported, dataset=dataset, **settings["deploy"]).after(judged)
    deployment = step(done_each_time(with_repository(light(served)))).outputs["deployment"]

    followed = track(model=exported, source=start["video"], **settings["track"])
    step(heavy(followed))

    with dsl.If(settings["promotion"]["url"] != "", name="followed"):
        told = promote(deployment=deployment, **settings["promotion"]).after(followed)
        step(done_each_time(promoting(light(told))))


def _exported(format: str, checkpoint: Any, dataset: Any, settings: Settings) -> Any:
    """The checkpoint in one format, proven to be the same; no format waits for another."""
    written = export(checkpoint=checkpoint, dataset=dataset, format=format, **settings["export"])
    written.set_display_name(f"export {format}")
    return step(heavy(written)).outputs["exported"]
