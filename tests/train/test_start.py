"""Fresh weights follow the seed; a checkpoint's are taken where they fit; what does not go together is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.data import open_dataset
from yolocore.data.legend import Legend
from yolocore.errors import DataError, ModelError, UsageError
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import save_weights
from yolocore.model.yolo11 import YOLO11, build
from yolocore.progress import SILENT
from yolocore.train.start import check_labels, choose_origin, start_from

CONFIG = TrainConfig(imgsz=64)


def classes(*names: str, keypoints: tuple[int, int] | None = None) -> Any:
    """All that a start looks at in a dataset."""
    return SimpleNamespace(names=names, keypoints=keypoints, legend=Legend(names, keypoints))


def start(model: str, dataset: Any, config: TrainConfig = CONFIG) -> tuple[YOLO11, ModelMeta]:
    return start_from(choose_origin(model, config), dataset, config, SILENT)


def tensors(model: torch.nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


@pytest.mark.parametrize(
    ("seed", "same"), [pytest.param(0, True, id="the same seed"), pytest.param(1, False, id="another seed")]
)
def test_fresh_weights(seed: int, same: bool) -> None:
    model, meta = start("yolo11n", classes("a", "b"))
    assert meta == ModelMeta(scale="n", names=("a", "b"), imgsz=64)
    other, _ = start("yolo11n", classes("a", "b"), CONFIG.model_copy(update={"seed": seed}))
    assert all(map(torch.equal, tensors(model), tensors(other))) is same


@pytest.mark.parametrize(
    ("names", "head_kept"),
    [
        pytest.param(["a", "b"], True, id="the same classes"),
        pytest.param(["x", "y", "z"], False, id="other classes: a new class branch"),
    ],
)
def test_a_checkpoint(names: list[str], head_kept: bool, tmp_path: Path) -> None:
    source, meta = start("yolo11n", classes("a", "b"))
    save_weights(tmp_path / "first.pt", source, meta)
    model, meta = start(str(tmp_path / "first.pt"), classes(*names), CONFIG.model_copy(update={"seed": 5}))
    assert meta.names == tuple(names)
    theirs = source.state_dict()
    equal = {k for k, v in model.state_dict().items() if v.shape == theirs[k].shape and torch.equal(v, theirs[k])}
    assert {k for k in theirs if not k.startswith("model.23.cv3")} <= equal
    assert ("model.23.cv3.0.2.weight" in equal) is head_kept


def test_a_class_branch_keeps_its_width_for_other_classes(tmp_path: Path) -> None:
    source, meta = start("yolo11n", classes(*map(str, range(80))))
    save_weights(tmp_path / "first.pt", source, meta)
    model, _ = start(str(tmp_path / "first.pt"), classes("a", "b"), CONFIG.model_copy(update={"seed": 5}))
    theirs = source.state_dict()
    fresh = {k for k, v in model.state_dict().items() if v.shape != theirs[k].shape or not torch.equal(v, theirs[k])}
    assert fresh == {f"model.23.cv3.{level}.2.{name}" for level in range(3) for name in ("weight", "bias")}


@pytest.mark.parametrize(
    ("model", "task", "expected"),
    [
        pytest.param("yolo11n", None, "detect", id="the name's own task"),
        pytest.param("yolo11n-seg", None, "segment", id="the name says it"),
        pytest.param("yolo11s-seg", "segment", "segment", id="both say it"),
        pytest.param("yolo11n", "obb", "obb", id="a plain name takes the head that is asked for"),
        pytest.param("yolo11n-seg", "pose", ModelError, id="a name of another task"),
    ],
)
def test_the_task(model: str, task: str | None, expected: Any) -> None:
    config = CONFIG.model_copy(update={"task": task})
    if expected is ModelError:
        with pytest.raises(ModelError, match="is for task=segment, not task=pose; give yolo11n-pose"):
            choose_origin(model, config)
    else:
        assert choose_origin(model, config).task == expected


def test_weights_of_another_task(tmp_path: Path) -> None:
    model, meta = start("yolo11n", classes("a"))
    save_weights(tmp_path / "boxes.pt", model, meta)
    with pytest.raises(ModelError, match=r"boxes\.pt: is for task=detect, not task=segment"):
        choose_origin(str(tmp_path / "boxes.pt"), CONFIG.model_copy(update={"task": "segment"}))


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        pytest.param((3, 3), True, id="the dataset's own"),
        pytest.param((3, 2), True, id="without visibility: learnt anew"),
        pytest.param((17, 3), False, id="another number"),
    ],
)
def test_keypoints_of_weights(shape: Any, fits: bool, shapes: Path, tmp_path: Path) -> None:
    dataset = open_dataset(shapes)
    meta = ModelMeta(task="pose", names=dataset.names, keypoints=shape)
    save_weights(tmp_path / "pose.pt", build("n", len(dataset.names), "pose", shape), meta)
    origin = choose_origin(str(tmp_path / "pose.pt"), CONFIG)
    if fits:
        check_labels(dataset, origin)
        assert start_from(origin, dataset, CONFIG, SILENT)[0].keypoints == dataset.keypoints
    else:
        with pytest.raises(DataError, match="keypoints have the shape"):
            check_labels(dataset, origin)


def test_frozen_layers_need_no_gradient() -> None:
    model, _ = start("yolo11n", classes("a"), CONFIG.model_copy(update={"freeze": 10}))
    trained = {int(name.split(".")[1]) for name, p in model.named_parameters() if p.requires_grad}
    assert min(trained) == 10
    with pytest.raises(UsageError, match="freeze=24: the network has 24 layers"):
        start("yolo11n", classes("a"), CONFIG.model_copy(update={"freeze": 24}))


def test_single_cls_and_dropout() -> None:
    model, meta = start(
        "yolo11n-cls", classes("a", "b"), CONFIG.model_copy(update={"single_cls": True, "dropout": 0.3})
    )
    assert (model.nc, len(meta.names)) == (1, 1)
    assert model.head.drop.p == 0.3  # type: ignore[union-attr]
