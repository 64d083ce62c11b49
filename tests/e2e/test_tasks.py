"""Every task from built-in pictures to figures, through the command line as people call it."""

import subprocess
import sys
from pathlib import Path

import pytest

from yolocore.records import TrainRecord, ValRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Task, architecture, built-in data, settings of training, and figures that its val has to reach. They are far above
# what an untrained network has, and below what a few epochs gave on several kinds of machine.
TASKS = [
    pytest.param("detect", "yolo11n", "demo", {"map50": 0.3}, id="detect"),
    pytest.param("segment", "yolo11n-seg", "demo", {"map50": 0.3, "mask_map50": 0.3}, id="segment"),
    pytest.param("pose", "yolo11n-pose", "demo", {"map50": 0.3, "pose_map50": 0.1}, id="pose"),
    pytest.param("obb", "yolo11n-obb", "demo", {"map50": 0.2}, id="obb"),
    pytest.param("classify", "yolo11n-cls", "demo-classify", {"top1": 0.5}, id="classify"),
]
SETTINGS = {
    "imgsz": 96,
    "batch": 16,
    "nbs": 16,
    "epochs": 12,
    "warmup_epochs": 1,
    "close_mosaic": 4,
    "optimizer": "AdamW",
    "lr0": 0.002,
}
# One answer a picture teaches less than its objects do.
CLASSIFY = {"epochs": 20, "lr0": 0.0005, "crop": 1, "erasing": 0, "hsv_h": 0.5}
PICTURES = ("labels.png", "train_batch0.jpg", "val_predictions.jpg", "results.png", "confusion_matrix.png")
IMAGES = {"demo": 200, "demo-classify": 600}


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("yolo")
    return subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, check=False)


def yolo(folder: Path, *words: str) -> None:
    done = call(folder, *words)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def built_in(tmp_path_factory: pytest.TempPathFactory):
    """Folder of the built-in data of a name, ingested once."""
    folder = tmp_path_factory.mktemp("built-in")

    def ingested(source: str) -> Path:
        if not (folder / source).exists():
            pictures = f"demo_images={IMAGES[source]}", "demo_imgsz=96"
            yolo(folder, "ingest", f"source={source}", *pictures, f"out={source}")
        return folder / source

    return ingested


@pytest.mark.parametrize(("task", "model", "source", "floors"), TASKS)
def test_train_and_val(task, model, source, floors, built_in, database, tmp_path):
    data = built_in(source)
    settings = SETTINGS | (CLASSIFY if task == "classify" else {})
    yolo(tmp_path, "train", f"data={data}", f"model={model}", *(f"{key}={value}" for key, value in settings.items()))
    yolo(tmp_path, "val", "model=runs/train/best.pt", f"data={data}", f"task={task}")

    record = TrainRecord.load(tmp_path / "runs/train")
    metrics = ValRecord.load(tmp_path / "runs/val").metrics
    for name, floor in floors.items():
        assert metrics[name] > floor, (name, metrics)
        assert metrics[name] == pytest.approx(record.metrics[name], abs=1e-9), "train and val disagree"
    assert {*PICTURES, "results.csv"} <= set(record.views)
    for view in record.views:
        assert (tmp_path / "runs/train" / view).stat().st_size > 0


def test_a_dataset_without_labels_for_the_task_is_one_line(built_in, database, tmp_path):
    done = call(tmp_path, "train", f"data={built_in('demo-classify')}", "model=yolo11n-seg")
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if "segment" in line]) == 1
    assert not (tmp_path / "runs/train").exists()
