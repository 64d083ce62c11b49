"""A setting in the words of its user: its type and range, and what to write in place of a name that is no setting."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

_ALIKE = 0.75  # of two words, from which one may be meant for the other

# What other YOLO tools call things that have another name here, or no need of one.
_ELSEWHERE = {
    **dict.fromkeys(("project", "name", "save_dir"), "the folder of the result is out="),
    "exist_ok": "a result at out= is found, or replaced as a whole",
    **dict.fromkeys(("weights", "pretrained"), "model= is a checkpoint, or an architecture to train from scratch"),
    **dict.fromkeys(("img", "img_size", "imgsize"), "the size of images is imgsz="),
    "batch_size": "images per step are batch=",
    **dict.fromkeys(("cfg", "hyp"), "settings are read from a file by params="),
    "cache": "images are read where they lie, and kept in memory by the system",
    "device": "this mode has no choice of it",
    **dict.fromkeys(("plots", "save_period", "verbose", "deterministic"), "there is nothing to choose"),
}


def unknown(kind: str, word: str, known: Iterable[str], place: str = "") -> str:
    """The line about a name that is none of those known: what it is like, or what does its work here, or all of them.

    place: what stands before the last part of a dotted name.
    """
    known = tuple(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=_ALIKE)
    meant = f"did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {place + word!r}; {meant or _ELSEWHERE.get(word) or 'there are ' + ', '.join(known)}"


def wanted(field: FieldInfo) -> str:
    """Type and range: 'int ≥ 1', 'float > 0, ≤ 1', 'auto | SGD'."""
    return " ".join(filter(None, (type_text(field.annotation), range_text(field))))


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


def _nested_constraints(annotation: Any) -> Iterator[Any]:
    """Constraints inside `Annotated[int, Field(ge=32)] | None` and lists, which pydantic leaves in the annotation."""
    if get_origin(annotation) is Annotated:
        for extra in get_args(annotation)[1:]:
            yield from extra.metadata if isinstance(extra, FieldInfo) else [extra]
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for kind in get_args(annotation):
            yield from _nested_constraints(kind)
