"""What Argo Events makes of an event: a sensor's own scripts, filters and parameters, evaluated as its code does.

Scripts are run by Lua 5.1, which the sensor's interpreter is a form of. Keys are paths of names and places, of gjson's
simplest kind: any other is refused here, so that nothing is taken for evaluated that is not.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from lupa import lua51

from tests.manifests.conftest import Document


def triggered(sensor: Document, dependency: str, data: Any) -> Document | None:
    """The object that the sensor's only trigger creates of an event of this dependency; None if it is filtered out."""
    spec = sensor["spec"]
    (expected,) = (each for each in spec["dependencies"] if each["name"] == dependency)
    (trigger,) = spec["triggers"]
    assert dependency in re.split(r" \|\| ", trigger["template"]["conditions"])
    data = _transformed(expected["transform"]["script"], data)
    if not all(_passes(each, data) for each in expected.get("filters", {}).get("data", [])):
        return None
    k8s = trigger["template"]["k8s"]
    assert k8s["operation"] == "create"
    made = copy.deepcopy(k8s["source"]["resource"])
    for parameter in k8s["parameters"]:
        if parameter["src"]["dependencyName"] == dependency:
            value = _text(_at(data, parameter["src"]["dataKey"]))
            if parameter.get("operation") == "append":
                value = _at(made, parameter["dest"]) + value
            _set(made, parameter["dest"], value)
    return made


def _transformed(script: str, data: Any) -> Any:
    lua = lua51.LuaRuntime()
    lua.globals().event = _table(lua, data)
    made = lua.execute(script)
    assert lua51.lua_type(made) == "table", "the sensor drops the event of a script that returns no table"
    return json.loads(json.dumps(_value(made)))


def _table(lua: Any, value: Any) -> Any:
    """null is left out, as the sensor does."""
    if isinstance(value, dict):
        return lua.table_from({key: _table(lua, item) for key, item in value.items() if item is not None})
    if isinstance(value, list):
        return lua.table_from([_table(lua, item) for item in value])
    return value


def _value(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value)
    if keys and all(isinstance(key, int) for key in keys):
        return [_value(value[key]) for key in sorted(keys)]
    return {key: _value(value[key]) for key in keys}


def _passes(condition: Document, data: Any) -> bool:
    assert condition.keys() == {"path", "type", "value"} and condition["type"] == "bool"
    return json.dumps(_at(data, condition["path"])) in condition["value"]


def _parts(path: str) -> list[int | str]:
    parts = path.split(".")
    assert all(re.fullmatch(r"\w+", part) for part in parts), f"{path}: evaluate it as gjson does"
    return [int(part) if part.isdigit() else part for part in parts]


def _at(value: Any, path: str) -> Any:
    for part in _parts(path):
        value = value[part]
    return value


def _set(value: Any, path: str, new: str) -> None:
    *parts, last = _parts(path)
    for part in parts:
        value = value[part]
    value[last] = new


def _text(value: Any) -> str:
    assert isinstance(value, str)
    return value
