"""Checkpoints to read: the public layout written from a model of ours, and archives around any pickle."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from yolocore.model.yolo11 import YOLO11

# The public layout is a pickled module. Ours pickle likewise; only the classes' names differ, which
# stand in a protocol 2 pickle as lines of text.
_RENAMED = {
    b"cyolocore.model.yolo11\nYOLO11\n": b"cultralytics.nn.tasks\nDetectionModel\n",
    b"cyolocore.model.head\n": b"cultralytics.nn.modules.head\n",
    b"cyolocore.model.blocks\n": b"cultralytics.nn.modules.block\n",
    b"ctypes\nSimpleNamespace\n": b"cultralytics.utils\nIterableSimpleNamespace\n",
}


def public_model(model: YOLO11, names: list[str]) -> YOLO11:
    """`model` with the attributes that a public checkpoint's module has."""
    model.names = dict(enumerate(names))
    model.stride = torch.tensor([8.0, 16.0, 32.0])
    return model


def write_public(path: Path, content: dict[str, Any], task_class: str = "DetectionModel") -> Path:
    """Save `content` as torch would, with the public layout's class names."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("/data.pkl"):
                for ours, public in _RENAMED.items():
                    data = data.replace(ours, public.replace(b"DetectionModel", task_class.encode()))
            target.writestr(name, data)
    return path


def write_archive(path: Path, program: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """An archive around a pickle of one's own making."""
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("archive/data.pkl", program)
        for key, data in (storages or {}).items():
            target.writestr(f"archive/data/{key}", data)
    return path
