"""The submit form of a pipeline: sections of settings, flattened to parameters that Kubeflow can carry.

A form knows text, numbers and switches. Every other setting (a list, or one that may be empty) is text
there, in the command line's own syntax: '0,2', or nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from yolocore.config import Section, Tree


@dataclass(frozen=True)
class Parameter:
    """One field of a form, in Kubeflow's types."""

    name: str
    type: type
    default: Any
    description: str


Sections = Mapping[str, type[Section]]
Settings = dict[str, dict[str, Any]]  # by section, by name

# What no form asks for: a pipeline that exports does so in every format.
DECIDED = ("export_format",)


def of_tree(*names: str) -> dict[str, type[Section]]:
    """Sections of the config tree by name."""
    found = {}
    for name in names:
        annotation = Tree.model_fields[name].annotation
        assert isinstance(annotation, type) and issubclass(annotation, Section)
        found[name] = annotation
    return found


def parameters(section: type[Section]) -> list[Parameter]:
    """A section's fields as parameters; the default of a required one is `inspect.Parameter.empty`."""
    return [parameter(name, field) for name, field in section.model_fields.items()]


def plain(value: Any) -> Any:
    """A setting's value as a form carries it."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value)
    return value


def arguments(settings: Mapping[str, Section]) -> dict[str, Any]:
    """Values by parameter name: {'train_epochs': 40, …}."""
    asked = fields({section: type(values) for section, values in settings.items()})
    return {key: plain(getattr(settings[section], name)) for key, (section, name) in asked.items()}


def fields(sections: Sections) -> dict[str, tuple[str, str]]:
    """What a form of these sections asks for: section and name of each setting, by the name of its parameter."""
    asked = {f"{section}_{name}": (section, name) for section, kind in sections.items() for name in kind.model_fields}
    return {key: setting for key, setting in asked.items() if key not in DECIDED}


def form(
    sections: Sections, defaults: Mapping[str, Any]
) -> Callable[[Callable[[Settings], None]], Callable[..., None]]:
    """Give a pipeline function a parameter for every setting of these sections: `train_epochs`, `val_conf`, ….

    The function itself takes them as `settings[section][name]`. defaults: values by parameter name that are proposed
    in place of the sections' own.
    """
    asked = [
        (key, section, parameter(name, sections[section].model_fields[name]))
        for key, (section, name) in fields(sections).items()
    ]
    asked.sort(key=lambda field: field[2].default is not inspect.Parameter.empty)  # those without a default come first

    def decorate(function: Callable[[Settings], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def flattened(*values: Any) -> None:
            settings: Settings = {section: {} for section in sections}
            for (_, section, p), value in zip(asked, values, strict=True):
                settings[section][p.name] = value
            function(settings)

        # Kubeflow reads the form from the signature and the texts beside its fields from the docstring.
        form_fields = [
            inspect.Parameter(
                key,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=defaults.get(key, p.default),
                annotation=p.type,
            )
            for key, _, p in asked
        ]
        texts = "\n".join(f"    {key}: {p.description}" for key, _, p in asked)
        flattened.__signature__ = inspect.Signature(form_fields)  # type: ignore[attr-defined]
        flattened.__doc__ = f"{inspect.getdoc(function)}\n\nArgs:\n{texts}\n"
        return flattened

    return decorate


def parameter(name: str, field: FieldInfo) -> Parameter:
    """One setting as a parameter."""
    kind: Any = next((kind for kind in (bool, int, float) if field.annotation is kind), str)
    default = inspect.Parameter.empty if field.is_required() else plain(field.default)
    return Parameter(name, kind, default, field.description or "")
