"""The table of rules, and what they are written with: ways to walk through documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from tests.manifests.conftest import Document, containers, label, pod_specs

Rule = Callable[[Sequence[Document]], Iterator[str]]
RULES: dict[str, Rule] = {}
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTPE]|[KMGTPE]i)?")


def rule(function: Rule) -> Rule:
    RULES[function.__name__.replace("_", " ")] = function
    return function


def quantity(value: object) -> Decimal:
    """'500m' → 0.5, '2Gi' → 2147483648. Raises ValueError for what is none."""
    match = QUANTITY.fullmatch(str(value))
    if not match:
        raise ValueError(f"{value!r} is no quantity")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit == "m":
        return number / 1000
    if unit.endswith("i"):
        return number * 1024 ** ("KMGTPE".index(unit[0]) + 1)
    return number * 1000 ** ("kMGTPE".index(unit) + 1 if unit else 0)


def pods(documents: Sequence[Document]) -> Iterator[tuple[Document, str, Document, Document]]:
    for document in documents:
        for path, metadata, spec in pod_specs(document):
            yield document, f"{label(document)} {path.lstrip('.')}", metadata, spec


def all_containers(documents: Sequence[Document]) -> Iterator[tuple[Document, str, Document, Document]]:
    for document, path, _, spec in pods(documents):
        for container in containers(spec):
            yield document, f"{path} {container.get('name', '')}".rstrip(), spec, container


def namespace(document: Document) -> str:
    return str(document["metadata"].get("namespace", ""))


def of_kind(documents: Sequence[Document], *kinds: str) -> Iterator[Document]:
    return (document for document in documents if document["kind"] in kinds)


def selects(selector: Document, labels: Document) -> bool:
    for expression in selector.get("matchExpressions", []):
        if expression["operator"] == "In" and labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def values(value: Any, key: str) -> Iterator[Any]:
    """All that stand under a key, however deep."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from values(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from values(item, key)
