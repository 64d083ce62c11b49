"""What every section of the config tree has in common: strictness, identity, and a digest.

A section is a frozen pydantic model that forbids unknown fields. Each field carries its range and a
description with its unit; the command line's help, the pipeline's form and the documentation are
generated from them. Fields marked `machine` say how to run on this computer (device, workers, ports):
they change no result and are left out of the section's identity.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def option(default: Any, description: str, *, machine: bool = False, **constraints: Any) -> Any:
    """A config field: its default, what it means (with unit), and pydantic constraints (ge, le, …).

    machine: True for how-to-run settings that leave the result unchanged.
    """
    return Field(default, description=description, json_schema_extra={"machine": machine}, **constraints)


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Section(BaseModel):
    """One mode's settings."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    @classmethod
    def is_machine_field(cls, name: str) -> bool:
        extra = cls.model_fields[name].json_schema_extra
        return isinstance(extra, dict) and bool(extra.get("machine"))

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result, as plain JSON values."""
        return {k: v for k, v in self.model_dump(mode="json").items() if not self.is_machine_field(k)}

    def digest(self) -> str:
        """'sha256:…' over the canonical bytes of `identity()`."""
        return "sha256:" + hashlib.sha256(canonical_json(self.identity())).hexdigest()
