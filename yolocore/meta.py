"""What a model says about itself, in whatever format it is stored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["detect"]
Scale = Literal["n", "s", "m", "l", "x"]


class ModelMeta(BaseModel):
    """What cannot be read off the weights. Travels with them, as JSON, through every format.

    Read back with `ModelMeta.model_validate_json`, which raises pydantic's ValidationError for JSON
    that is no such document.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task = "detect"
    scale: Scale = Field("n", description="size of the architecture")
    names: tuple[str, ...] = Field(..., min_length=1, description="class names in the order of their indices")
    imgsz: int = Field(640, ge=32, description="side in pixels of the images it was trained at")
    stride: int = Field(32, ge=1, description="coarsest stride: input sides are multiples of it")
