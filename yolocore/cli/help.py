"""Help, generated from the config tree: what a mode takes, of which type, with which default and range."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from yolocore.config import MODES, Section, section_class
from yolocore.errors import EXIT_BUG, error_classes
from yolocore.modes.request import INPUTS, REQUEST_KEYS

EXAMPLES = """\
  yolo ingest source=demo
  yolo train data=runs/ingest model=yolo11n epochs=40
  yolo predict model=runs/train/best.pt source=picture.jpg"""


def general(commands: dict[str, str]) -> None:
    """Print what `yolo` can do. commands: name and description of those that are no mode."""
    console = _console()
    console.print("usage: yolo MODE key=value …\n       yolo MODE --help\n", markup=False)
    modes = _table()
    for mode in MODES:
        modes.add_row(f"  {mode}", section_class(mode).__doc__)
    for name, description in commands.items():
        modes.add_row(f"  {name}", description)
    console.print(modes)
    console.print(f"\nexamples:\n{EXAMPLES}\n\nexit codes:", markup=False)
    codes = _table()
    for code, meaning in sorted(_exit_codes()):
        codes.add_row(f"  {code}", meaning)
    console.print(codes)


def mode(name: str) -> None:
    """Print one mode's inputs and settings."""
    console = _console()
    config, inputs = section_class(name), INPUTS[name]
    required = " ".join(f"{key}=…" for key, field in inputs.model_fields.items() if field.is_required())
    console.print(f"usage: yolo {name} {required} key=value …\n\n{config.__doc__}\n\ninputs:", markup=False)
    console.print(_keys(inputs))
    console.print(f"\nsettings (section {name!r} of params.yaml):", markup=False)
    console.print(_keys(config))
    console.print("\nof every mode:", markup=False)
    rest = _table()
    for key, description in REQUEST_KEYS.items():
        rest.add_row(f"  {key}", description.replace("MODE", name))
    console.print(rest)


def type_text(annotation: Any) -> str:
    """A field's type in the words of its user: 'int', 'auto | SGD', 'list of int'."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin is Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin in (Union, UnionType):
        return type_text(next(kind for kind in arguments if kind is not NoneType))
    if origin is tuple:
        return f"list of {type_text(arguments[0])}"
    return str(annotation.__name__)


def range_text(field: FieldInfo) -> str:
    """'> 0, ≤ 1' from the field's constraints, wherever pydantic keeps them."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "multiple_of": "multiple of"}
    constraints = [*field.metadata, *_nested_constraints(field.annotation)]
    parts = [
        f"{sign} {getattr(constraint, name):g}"
        for constraint in constraints
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
    return ", ".join(parts)


def default_text(field: FieldInfo) -> str:
    """The default as it would be written on the command line."""
    if field.is_required():
        return "required"
    if isinstance(field.default, tuple):
        return ",".join(str(value) for value in field.default)
    return "" if field.default is None else str(field.default)


def _nested_constraints(annotation: Any) -> Iterator[Any]:
    """Constraints inside `Annotated[int, Field(ge=32)] | None` and lists, which pydantic leaves in the annotation."""
    if get_origin(annotation) is Annotated:
        for extra in get_args(annotation)[1:]:
            yield from extra.metadata if isinstance(extra, FieldInfo) else [extra]
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for kind in get_args(annotation):
            yield from _nested_constraints(kind)


def _keys(section: type[Section]) -> Table:
    table = _table("  key", "type", "default", "range", "meaning")
    for key, field in section.model_fields.items():
        table.add_row(
            f"  {key}", type_text(field.annotation), default_text(field), range_text(field), field.description
        )
    return table


def _exit_codes() -> Iterator[tuple[int, str]]:
    yield 0, "done, or already done."
    for error in error_classes():
        yield error.exit_code, (error.__doc__ or "").strip()
    yield EXIT_BUG, "A bug of ours; the traceback is in the file that is named."
    yield 130, "Interrupted with Ctrl-C."


def _table(*headers: str) -> Table:
    return Table(*headers, box=None, pad_edge=False, show_header=bool(headers), header_style="dim")


def _console() -> Console:
    """Wide enough in a pipe that no line of a table is folded."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=400)
