"""What a model says about itself, in whatever format it is stored."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Task = Literal["detect", "segment", "pose", "classify", "obb"]
Scale = Literal["n", "s", "m", "l", "x"]
TASKS: tuple[Task, ...] = get_args(Task)
# How many, and whether each has x y or x y visibility.
KeypointShape = tuple[Annotated[int, Field(ge=1, le=1000)], Literal[2, 3]]

# What stands behind yolo11n in the name of an architecture, for each task.
SUFFIXES: dict[Task, str] = {"detect": "", "segment": "-seg", "pose": "-pose", "classify": "-cls", "obb": "-obb"}
ARCHITECTURES: dict[str, tuple[Scale, Task]] = {
    f"yolo11{scale}{suffix}": (scale, task) for task, suffix in SUFFIXES.items() for scale in get_args(Scale)
}
ONE_CLASS = ("item",)  # what a model that was trained with single_cls calls whatever there is


def architecture(name: str) -> tuple[Scale, Task] | None:
    """The size and the task that a name such as yolo11n-seg stands for; None for any other name."""
    return ARCHITECTURES.get(name)


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
    keypoints: KeypointShape | None = Field(None, description="pose only: how many keypoints, and numbers of each")

    @model_validator(mode="after")
    def _keypoints_of_poses(self) -> Self:
        if (self.task == "pose") != (self.keypoints is not None):
            raise ValueError("keypoints belong to the task pose, and to it alone")
        return self
