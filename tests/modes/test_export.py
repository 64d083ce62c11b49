"""The export step: what it leaves, what it proves, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import yaml

from tests.export.networks import META, lively_network, meta_of
from yolocore.config import ExportConfig
from yolocore.errors import DataError, ModelError, RefusedError, YoloError
from yolocore.meta import TASKS, Task
from yolocore.model.checkpoint import save_weights
from yolocore.model.yolo11 import build
from yolocore.modes.export import export
from yolocore.modes.inputs import ExportInputs
from yolocore.records import ExportRecord
from yolocore.runtimes.detector import open_detector
from yolocore.runtimes.onnx import OnnxRuntime

QUICK = ExportConfig(simplify=False, parity_images=2)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ExportInputs:
    """A checkpoint that sees something everywhere, and three pictures of noise."""
    folder = tmp_path_factory.mktemp("export")
    save_weights(folder / "lively.pt", lively_network(), META)
    return ExportInputs(model=str(folder / "lively.pt"), data=write_dataset(folder, images=3))


def write_dataset(folder: Path, images: int, split: str = "val") -> str:
    (folder / "images" / split).mkdir(parents=True)
    (folder / "images" / "train").mkdir(exist_ok=True)
    (folder / "labels" / split).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(images):
        small = rng.integers(0, 256, (6, 9, 3), np.uint8)
        picture = cv2.resize(small, (90 + number, 60), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "images" / split / f"{number}.png"), picture)
        (folder / "labels" / split / f"{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    content = {"path": str(folder), "train": f"images/{split}", split: f"images/{split}", "names": list(META.names)}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "dataset.yaml")


def test_both_models_are_written_and_proven(inputs: ExportInputs, tmp_path: Path) -> None:
    record = export(QUICK, inputs, tmp_path / "out")
    assert record == ExportRecord.load(tmp_path / "out")
    assert {name: artifact.path for name, artifact in record.artifacts.items()} == {
        "model": "model.onnx",
        "serving": "serving.onnx",
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.onnx", "record.json", "serving.onnx"]
    assert [row.model for row in record.parity] == ["model.onnx", "serving.onnx"]
    assert all(row.images == 2 and row.boxes > 0 for row in record.parity)
    assert set(record.versions) == {"torch", "onnx", "onnxruntime", "onnxslim"}

    written = (tmp_path / "out" / "model.onnx").stat().st_mtime_ns
    assert export(QUICK, inputs, tmp_path / "out") == record, "the same again"
    assert (tmp_path / "out" / "model.onnx").stat().st_mtime_ns == written, "which does nothing"
    assert export(QUICK, inputs, tmp_path / "elsewhere").canonical() == record.canonical()


@pytest.mark.parametrize("task", [task for task in TASKS if task != "detect"])
def test_other_tasks_leave_the_network_alone(inputs: ExportInputs, tmp_path: Path, task: Task) -> None:
    save_weights(tmp_path / "other.pt", lively_network(task), meta_of(task))
    record = export(QUICK, inputs.model_copy(update={"model": str(tmp_path / "other.pt")}), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.onnx", "record.json"]
    (row,) = record.parity
    assert (record.task, row.model, row.images) == (task, "model.onnx", 2)
    assert (row.boxes > 0) == (task != "classify")


@pytest.mark.parametrize("task", TASKS)
def test_openvino_is_written_and_proven(inputs: ExportInputs, tmp_path: Path, task: Task) -> None:
    """The network alone, of any task: a server is given ONNX."""
    save_weights(tmp_path / "model.pt", lively_network(task), meta_of(task))
    config = QUICK.model_copy(update={"format": "openvino"})
    record = export(config, inputs.model_copy(update={"model": str(tmp_path / "model.pt")}), tmp_path / "out")
    assert {name: artifact.path for name, artifact in record.artifacts.items()} == {"model": "model.openvino"}
    written = tmp_path / "out" / "model.openvino"
    assert sorted(path.name for path in written.iterdir()) == ["model.bin", "model.xml"]
    assert record.artifacts["model"].bytes == sum(path.stat().st_size for path in written.iterdir())
    (row,) = record.parity
    assert (record.format, row.model, row.images) == ("openvino", "model.openvino", 2)
    assert (row.boxes > 0) == (task != "classify")
    assert set(record.versions) == {"torch", "onnx", "openvino", "onnxslim"}
    assert open_detector(str(written)).meta.task == task


def test_size_and_fixed_shape(inputs: ExportInputs, tmp_path: Path) -> None:
    """The network is fixed to one image of the size; the served model still takes any."""
    export(QUICK.model_copy(update={"dynamic": False, "imgsz": 96}), inputs, tmp_path / "out")
    runtime = OnnxRuntime(tmp_path / "out" / "model.onnx", device="cpu", threads=1)
    assert (runtime.shape, runtime.meta.imgsz) == ((96, 96), 96)
    served = onnx.load(tmp_path / "out" / "serving.onnx")
    dims = [dim.dim_param or dim.dim_value for dim in served.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]


def test_a_model_that_has_learnt_nothing_is_proven_too(inputs: ExportInputs, tmp_path: Path) -> None:
    save_weights(tmp_path / "fresh.pt", build("n", len(META.names)), META)
    fresh = inputs.model_copy(update={"model": str(tmp_path / "fresh.pt")})
    record = export(QUICK, fresh, tmp_path / "out")
    assert [row.boxes for row in record.parity] == [0, 0]
    assert all(row.raw_score < 1e-3 for row in record.parity)


@pytest.mark.parametrize(
    ("settings", "change", "error", "message"),
    [
        pytest.param({"parity_score": 1e-9}, {}, RefusedError, r"model\.onnx: on 0\.png, a raw", id="no parity"),
        pytest.param({}, {"model": "nowhere.pt"}, ModelError, r"nowhere\.pt", id="no such checkpoint"),
        pytest.param({}, {"model": "{tmp}/text.pt"}, ModelError, r"text\.pt", id="no checkpoint at all"),
        pytest.param({}, {"data": "nowhere.yaml"}, DataError, r"nowhere\.yaml", id="no such dataset"),
        pytest.param({}, {"data": "{tmp}/test/dataset.yaml"}, DataError, "no split 'val'", id="no val images"),
    ],
)
def test_refused(
    inputs: ExportInputs,
    tmp_path: Path,
    settings: dict[str, float],
    change: dict[str, str],
    error: type[YoloError],
    message: str,
) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    write_dataset(tmp_path / "test", images=1, split="test")
    changed = inputs.model_copy(update={key: value.format(tmp=tmp_path) for key, value in change.items()})
    with pytest.raises(error, match=message) as refused:
        export(QUICK.model_copy(update=settings), changed, tmp_path / "out" / "export")
    assert "\n" not in str(refused.value)
    left = (
        [path for path in (tmp_path / "out").rglob("*") if path.suffix != ".lock"]
        if (tmp_path / "out").exists()
        else []
    )
    assert not left


def test_the_public_weights_on_real_images(shared: Path, tmp_path: Path) -> None:
    """Sizes that need a real resize, at a size that is not the images'."""
    pictures = sorted((shared / "data/coco/images").iterdir())[20:60]
    for folder in ("images/val", "labels/val"):
        (tmp_path / "coco" / folder).mkdir(parents=True)
    for picture in pictures:
        (tmp_path / "coco/images/val" / picture.name).symlink_to(picture)
    names = list(yaml.safe_load((shared / "data/coco/names.yaml").read_text())["names"].values())
    content = {"path": str(tmp_path / "coco"), "train": "images/val", "val": "images/val", "names": names}
    (tmp_path / "coco/dataset.yaml").write_text(yaml.safe_dump(content))
    inputs = ExportInputs(model=str(shared / "data/weights/yolo11n.pt"), data=str(tmp_path / "coco/dataset.yaml"))
    record = export(ExportConfig(imgsz=224, simplify=False, parity_images=12), inputs, tmp_path / "out")
    assert all(row.boxes > 20 and row.unmatched <= 2 for row in record.parity)
