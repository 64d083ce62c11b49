"""Compiled pipelines, read as a cluster reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

COMPILED = Path(__file__).resolve().parents[2] / "pipelines" / "compiled"


def documents(name: str) -> list[dict[str, Any]]:
    """A pipeline's specification, and what it says to Kubernetes."""
    return list(yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text(encoding="utf-8")))


def reached(spec: dict[str, Any], name: str) -> tuple[list[str], dict[str, str]]:
    """On which conditions a task is run, from the outside in, and where its parameters come from.

    A source is a field of the form, as 'train_epochs', or another task's output, as 'news.Output'.
    """

    def search(dag: dict[str, Any], given: dict[str, str], before: list[str]) -> Any:
        for each, task in dag["tasks"].items():
            parameters = task.get("inputs", {}).get("parameters", {})
            sources = {key: _source(value, given) for key, value in parameters.items() if "runtimeValue" not in value}
            condition = task.get("triggerPolicy", {}).get("condition")
            conditions = [*before, *([_shown(condition, sources)] if condition else [])]
            if each == name:
                return conditions, sources
            component = spec["components"][task["componentRef"]["name"]]
            if "dag" in component and (found := search(component["dag"], sources, conditions)):
                return found
        return None

    root = spec["root"]
    found = search(root["dag"], {field: field for field in root["inputDefinitions"]["parameters"]}, [])
    assert found, f"{name}: no such task"
    return found


def _source(value: dict[str, Any], given: dict[str, str]) -> str:
    if "componentInputParameter" in value:
        return given[value["componentInputParameter"]]
    if "taskOutputParameter" in value:
        output = value["taskOutputParameter"]
        return f"{output['producerTask']}.{output['outputParameterKey']}"
    assert "taskFinalStatus" in value, value
    return "status"


def _shown(condition: str, sources: dict[str, str]) -> str:
    return re.sub(r"inputs\.parameter_values\['(.+?)'\]", lambda match: sources[match[1]], condition)
