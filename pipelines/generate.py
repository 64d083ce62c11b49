"""Write what is generated: the components from the config tree, the compiled pipelines, and their resources.

    python -m pipelines.generate

The files are committed; tests fail when one of them is stale.
"""

from __future__ import annotations

import importlib
import inspect
import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import PIPELINES, package
from pipelines.form import Parameter, parameters
from yolocore.component.trainjob import TrainJobInputs
from yolocore.config import section_class
from yolocore.modes.request import INPUTS

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 120


@dataclass(frozen=True)
class Given:
    """An input that other steps' results give: the artifacts, whose paths it is given, and their type."""

    type: str
    artifacts: tuple[str, ...]


DATASET = Given("Dataset", ("dataset",))
IMAGES = Given("Dataset", ("images",))
MODEL = Given("Model", ("model",))
EXPORTED = Given("Model", ("exported",))


@dataclass(frozen=True)
class Wiring:
    """What a component leaves for others (name and artifact type), and which of its inputs others give.

    image: the mode whose image it runs in; empty: it has one of its own. confusion: whether it counts confusions.
    """

    result: str
    type: str = "Artifact"
    given: dict[str, Given] = field(default_factory=dict)
    image: str = ""
    confusion: bool = False


WIRING = {
    "ingest": Wiring("dataset", "Dataset"),
    "train": Wiring("checkpoint", "Model", {"data": DATASET}),
    "tune": Wiring("checkpoint", "Model", {"data": DATASET}, image="train"),
    "val": Wiring("evaluation", given={"model": MODEL, "data": DATASET}, confusion=True),
    "predict": Wiring("predictions", given={"model": MODEL, "source": IMAGES}),
    "export": Wiring("exported", "Model", {"model": Given("Model", ("checkpoint",)), "data": DATASET}),
    # Its image has no PyTorch; that the checkpoint finds the same, export has proven.
    "benchmark": Wiring(
        "comparison",
        given={"model": EXPORTED, "exported": Given("Model", ("exported", "openvino")), "data": DATASET},
    ),
    "gate": Wiring(
        "verdict",
        given={"exported": EXPORTED, "data": DATASET, "benchmark": Given("Artifact", ("comparison",))},
        image="benchmark",
    ),
    "deploy": Wiring("deployment", given={"exported": EXPORTED, "data": DATASET}),
    "track": Wiring("tracks", given={"model": MODEL}),
}


def main() -> None:
    for path, content in components().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    importlib.invalidate_caches()
    for path, content in compiled().items():
        path.write_text(content, encoding="utf-8")
    for path, content in followed().items():
        path.write_text(content, encoding="utf-8")


def components() -> dict[Path, str]:
    """Every generated file of components/ with its content."""
    files = {}
    for mode in WIRING:
        folder = ROOT / "components" / mode
        files[folder / "component.py"] = component_source(mode)
        files[folder / "README.md"] = component_page(mode)
    files[ROOT / "components" / "train_together.py"] = together_source()
    return files


def compiled() -> dict[Path, str]:
    """Every compiled pipeline with its content."""
    return {ROOT / "pipelines" / "compiled" / f"{name}.yaml": package.compiled(name) for name in PIPELINES}


def followed() -> dict[Path, str]:
    """The compiled pipelines as resources that a cluster follows, with their content."""
    folder = ROOT / "manifests" / "gitops" / "pipelines"
    return {folder / f"{name}.yaml": package.resources(name, "") for name in PIPELINES}


def component_source(mode: str) -> str:
    """The Python text of a mode's component."""
    free = [p for p in parameters(INPUTS[mode]) if p.name not in WIRING[mode].given] + parameters(section_class(mode))
    doc = section_class(mode).__doc__ or ""
    door = "from yolocore.component import perform", "perform", [f'"{mode}"']
    return _source(mode, doc, WIRING[mode], WIRING[mode].image or mode, free, door)


def together_source() -> str:
    """That of train on several nodes: train's settings, the job's, and the image that speaks to the cluster."""
    wiring = WIRING["train"]
    free = [p for p in parameters(INPUTS["train"]) if p.name not in wiring.given]
    free += [*parameters(section_class("train")), *parameters(TrainJobInputs)]
    doc = "Train a model on several nodes together, which Kubeflow Trainer starts."
    door = "from yolocore.component import trainjob", "trainjob.train_together", []
    return _source("train_together", doc, wiring, "deploy", free, door)


def _source(
    name: str, doc: str, wiring: Wiring, image: str, free: list[Parameter], door: tuple[str, str, list[str]]
) -> str:
    """Typed signature, described parameters, and a body of one call. door: its import, its name, its first words."""
    free.sort(key=lambda p: p.default is not inspect.Parameter.empty)  # those without a default come first
    signature = [
        *dict.fromkeys(
            f"{name}: dsl.Input[dsl.{given.type}]" for given in wiring.given.values() for name in given.artifacts
        ),
        *(_declared(p) for p in free if p.default is inspect.Parameter.empty),
        f"{wiring.result}: dsl.Output[dsl.{wiring.type}]",
        "metrics: dsl.Output[dsl.Metrics]",
        "report: dsl.Output[dsl.HTML]",
        *(["confusion: dsl.Output[dsl.ClassificationMetrics]"] if wiring.confusion else []),
        *(_declared(p) for p in free if p.default is not inspect.Parameter.empty),
    ]
    passed = [
        *door[2],
        f"result={wiring.result}",
        "metrics=metrics",
        "report=report",
        *(["confusion=confusion"] if wiring.confusion else []),
        *(f"{key}={_paths(given)}" for key, given in wiring.given.items()),
        *(f"{p.name}={p.name}" for p in free),
    ]
    described = [
        line
        for p in free
        for line in textwrap.wrap(
            f"{p.name}: {p.description}", WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12
        )
    ]
    lines = [
        '"""Generated from the config tree by `python -m pipelines.generate`."""',
        "",
        "from kfp import dsl",
        "",
        "from components.image import image",
        "",
        "",
        f'@dsl.component(base_image=image("{image}"), install_kfp_package=False)',
        f"def {name}(",
        *(f"    {line}," for line in signature),
        ") -> None:",
        f'    """{doc}',
        "",
        "    Args:",
        *described,
        '    """',
        f"    {door[0]}",
        "",
        f"    {door[1]}(",
        *(f"        {line}," for line in passed),
        "    )",
    ]
    return "\n".join(lines) + "\n"


def component_page(mode: str) -> str:
    """The README of a component."""
    from components.image import image

    wiring, config = WIRING[mode], section_class(mode)
    name = image(wiring.image or mode).partition(":")[0]
    inputs = [p for p in parameters(INPUTS[mode]) if p.name not in wiring.given]
    rows = [
        *(
            (name, f"artifact ({given.type})", f"the mode's `{key}`")
            for key, given in wiring.given.items()
            for name in given.artifacts
        ),
        *((p.name, p.type.__name__, p.description) for p in inputs),
    ]
    lines = [
        f"# {mode}",
        "",
        f"{config.__doc__} Generated from the config tree by `python -m pipelines.generate`.",
        "",
        f"Image: `{name}`. On a laptop: `yolo {mode}`. All settings: `yolo {mode} --help`.",
        "",
        "| input | type | meaning |",
        "|---|---|---|",
        *(f"| {name} | {kind} | {meaning} |" for name, kind, meaning in rows),
        "",
        f"Result: `{wiring.result}` ({wiring.type}), the step's folder with its `record.json`; figures as `metrics`,",
        "pictures as `report`.",
    ]
    return "\n".join(lines) + "\n"


def _paths(given: Given) -> str:
    """The expression that an input is passed as; several paths as the list that a command line takes."""
    if len(given.artifacts) == 1:
        return f"{given.artifacts[0]}.path"
    return 'f"' + ",".join(f"{{{name}.path}}" for name in given.artifacts) + '"'


def _declared(parameter: Parameter) -> str:
    text = f"{parameter.name}: {parameter.type.__name__}"
    return text if parameter.default is inspect.Parameter.empty else f"{text} = {_literal(parameter.default)}"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    main()
