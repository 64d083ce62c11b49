"""Fresh weights follow the seed; a checkpoint's are taken where they fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.model.checkpoint import save_weights
from yolocore.progress import SILENT
from yolocore.runtimes.base import ModelMeta
from yolocore.train.start import start_from

CONFIG = TrainConfig(imgsz=64)


def tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


@pytest.mark.parametrize(
    ("seed", "same"), [pytest.param(0, True, id="the same seed"), pytest.param(1, False, id="another seed")]
)
def test_fresh_weights(seed: int, same: bool) -> None:
    model, meta = start_from("yolo11n", ["a", "b"], CONFIG, SILENT)
    assert meta == ModelMeta(scale="n", names=("a", "b"), imgsz=64)
    other, _ = start_from("yolo11n", ["a", "b"], CONFIG.model_copy(update={"seed": seed}), SILENT)
    assert all(map(torch.equal, tensors(model), tensors(other))) is same


@pytest.mark.parametrize(
    ("names", "head_kept"),
    [
        pytest.param(["a", "b"], True, id="the same classes"),
        pytest.param(["x", "y", "z"], False, id="other classes: a new class branch"),
    ],
)
def test_a_checkpoint(names: list[str], head_kept: bool, tmp_path: Path) -> None:
    source, meta = start_from("yolo11n", ["a", "b"], CONFIG, SILENT)
    save_weights(tmp_path / "first.pt", source, meta)
    model, meta = start_from(str(tmp_path / "first.pt"), names, CONFIG.model_copy(update={"seed": 5}), SILENT)
    assert meta.names == tuple(names)
    theirs = source.state_dict()
    equal = {k for k, v in model.state_dict().items() if v.shape == theirs[k].shape and torch.equal(v, theirs[k])}
    assert {k for k in theirs if not k.startswith("model.23.cv3")} <= equal
    assert ("model.23.cv3.0.2.weight" in equal) is head_kept
