"""YOLO11 from a folder of images to a verified endpoint.

Importing this package loads none of the heavy libraries: `YOLO` arrives on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["YOLO", "__version__"]

if TYPE_CHECKING:
    from yolocore.api import YOLO


def __getattr__(name: str) -> Any:
    if name == "YOLO":
        from yolocore.api import YOLO

        return YOLO
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
