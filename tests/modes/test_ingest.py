"""ingest: real and built-in data become datasets; what is broken is named, and nothing is left half-written."""

import errno
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.config import IngestConfig
from yolocore.data import open_dataset, shards
from yolocore.errors import DataError, ServiceError, StorageError, UsageError
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs
from yolocore.records import IngestRecord
from yolocore.store import tree_digest

ROW = "0 0.5 0.5 0.5 0.5\n"


class Notes:
    """Listens, and keeps the notes and how far each phase came."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: dict[str, list[int | None]] = {}

    def start(self, label, total):
        self.label = label
        self.phases[label] = [0, total]

    def advance(self, n=1, **figures):
        self.phases[self.label][0] += n

    def note(self, text):
        self.notes.append(text)


def run(source: Path | str, out: Path, listener=None, **config) -> IngestRecord:
    return ingest(IngestConfig(**config), IngestInputs(source=str(source)), out, listener or Notes())


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    """Eight images in YOLO form, six for train and two for val."""
    root = tmp_path / "set"
    for number in range(8):
        split = "train" if number < 6 else "val"
        for kind, suffix, content in (("images", "jpg", jpeg(number)), ("labels", "txt", ROW.encode())):
            path = root / kind / split / f"{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (root / "dataset.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    return root


# --- good input -----------------------------------------------------------------------------------------------


def test_bccd(shared, tmp_path):
    listener = Notes()
    record = run(shared / "data" / "bccd", tmp_path / "out", listener)
    assert record.images == {"test": 72, "train": 205, "val": 87}
    assert sum(record.objects.values()) == 4886
    assert set(record.objects) == {"RBC", "WBC", "Platelets"}
    assert record.dropped == {"zero-area box": 2}
    assert listener.phases["check images"] == [364, 364]

    dataset = open_dataset(tmp_path / "out")
    assert dataset.digest == record.dataset
    assert dataset.names == ("Platelets", "RBC", "WBC")
    split = dataset.split("val")
    assert split.sizes.tolist() == [[480, 640]] * 87
    for index in range(0, 87, 20):
        original = shared / "data" / "bccd" / "JPEGImages" / split.names[index]
        assert split.image(index) == original.read_bytes()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json", "record.json", "report.json", "samples.jpg", "shards", "statistics.png",
    }  # fmt: skip


def test_the_same_source_elsewhere_is_the_same_dataset(folder, tmp_path):
    one = run(folder, tmp_path / "one")
    shutil.copytree(folder, tmp_path / "copy")
    two = run(tmp_path / "copy", tmp_path / "two")
    assert one.canonical() == two.canonical()
    for name in ("manifest.json", "shards", "report.json", "statistics.png", "samples.jpg"):
        assert tree_digest(tmp_path / "one" / name) == tree_digest(tmp_path / "two" / name)


def test_a_finished_ingest_does_nothing(folder, tmp_path):
    first = run(folder, tmp_path / "out")
    listener = Notes()
    assert run(folder, tmp_path / "out", listener) == first
    assert not listener.phases
    (folder / "labels/train/0.txt").write_text("")
    assert run(folder, tmp_path / "out", listener).dataset != first.dataset
    assert listener.phases


def test_shards_are_as_large_as_asked(folder, tmp_path):
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (640, 640, 3), np.uint8)
        (folder / f"images/train/{number}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    records = [run(folder, tmp_path / str(size), shard_mb=size) for size in (1, 100)]
    assert records[0].dataset == records[1].dataset
    counts = [len(list((tmp_path / str(size) / "shards").iterdir())) for size in (1, 100)]
    assert counts[0] > counts[1] == 2


def test_the_built_in_data(tmp_path):
    record = run("demo", tmp_path / "out", demo_images=60, demo_imgsz=96)
    assert sum(record.images.values()) == 60
    assert set(record.images) == {"train", "val", "test"}
    assert min(record.objects.values()) > 20
    assert record.dropped == {}
    assert set(record.artifacts) == {"dataset", "shards", "video"}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["annotations"] == ["boxes", "polygons", "keypoints", "corners"]
    again = run("demo", tmp_path / "again", demo_images=60, demo_imgsz=96)
    assert again.canonical() == record.canonical()
    assert run("demo", tmp_path / "other", demo_images=60, demo_imgsz=96, seed=1).dataset != record.dataset
    dataset = open_dataset(tmp_path / "out")
    assert dataset.keypoints == (3, 3)
    for task in ("detect", "segment", "pose", "obb"):
        dataset.check_task(task)


def test_the_built_in_class_folders(tmp_path):
    record = run("demo-classify", tmp_path / "out", demo_images=60, demo_imgsz=96)
    assert sum(record.images.values()) == sum(record.objects.values()) == 60
    assert set(record.images) == {"train", "val", "test"}
    assert set(record.artifacts) == {"dataset", "shards"}
    dataset = open_dataset(tmp_path / "out")
    assert dataset.annotations == ("classes",)
    dataset.check_task("classify")
    split = dataset.split("train")
    assert len(split.labels(0)) == 1
    assert run("demo-classify", tmp_path / "again", demo_images=60, demo_imgsz=96).canonical() == record.canonical()


def test_outlines_of_real_images(shared, tmp_path):
    """COCO's polygons, as rows of a class and points."""
    source = shared / "data" / "coco"
    for name in sorted(path.stem for path in (source / "labels-segment").glob("*.txt"))[:24]:
        for kind, folder, suffix in (("images", "images", "jpg"), ("labels", "labels-segment", "txt")):
            (tmp_path / "set" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / kind / f"{name}.{suffix}").symlink_to(source / folder / f"{name}.{suffix}")
    shutil.copy(source / "names.yaml", tmp_path / "set" / "dataset.yaml")
    run(tmp_path / "set", tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.annotations == ("boxes", "polygons")
    dataset.check_task("segment")
    for split in map(dataset.split, dataset.splits):
        for index in range(len(split)):
            labels = split.labels(index)
            for box, parts in zip(labels.boxes, labels.polygons or (), strict=True):
                points = np.concatenate(parts)
                np.testing.assert_allclose(box, [*points.min(axis=0), *points.max(axis=0)], atol=0.01)


def test_what_only_some_objects_have_is_noticed(folder, tmp_path):
    (folder / "labels/train/0.txt").write_text("0 .1 .1 .3 .1 .3 .4\n" + ROW)
    listener = Notes()
    run(folder, tmp_path / "out", listener)
    assert listener.notes == ["1 × labels of some objects only, for example polygons: 8 of 9 objects have none"]


def test_an_archive(folder, tmp_path):
    plain = run(folder, tmp_path / "plain")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    record = run(tmp_path / "set.zip", tmp_path / "out")
    assert record.dataset == plain.dataset
    assert not (tmp_path / "out" / "source").exists()


def test_the_report(folder, tmp_path):
    (folder / "labels/train/0.txt").write_text("")
    (folder / "labels/train/1.txt").unlink()
    (folder / "labels/val/gone.txt").write_text(ROW)
    shutil.copy(folder / "images/train/2.jpg", folder / "images/val/2-again.jpg")
    listener = Notes()
    record = run(folder, tmp_path / "out", listener)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["images"] == record.images == {"train": 6, "val": 3}
    assert report["background_images"] == {"train": 2, "val": 1}
    assert report["objects"] == {"cat": {"train": 4, "val": 2}, "dog": {"train": 0, "val": 0}}
    assert report["box_areas"] == {"small": 6, "medium": 0, "large": 0}
    assert report["image_width"] == {"min": 60, "median": 60, "max": 60}
    assert {kind: found["count"] for kind, found in report["warnings"].items()} == {
        "label without image": 1,
        "same image in several splits": 1,
    }
    assert any("train/2.jpg, val/2-again.jpg" in note for note in listener.notes)


# --- bad input ------------------------------------------------------------------------------------------------


def spoil(name: str, content: bytes):
    return lambda root: (root / name).write_bytes(content)


def zip_that_climbs(root: Path) -> str:
    with zipfile.ZipFile(root.parent / "evil.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    return str(root.parent / "evil.zip")


def tar_of_a_broken_set(root: Path) -> str:
    (root / "labels/train/0.txt").write_text("9 .5 .5 .5 .5")
    with tarfile.open(root.parent / "set.tar", "w") as archive:
        archive.add(root, "set")
    return str(root.parent / "set.tar")


def keypoint_outside(root: Path) -> None:
    with (root / "dataset.yaml").open("a") as file:
        file.write("kpt_shape: [1, 3]\n")
    (root / "labels/train/3.txt").write_text("0 .5 .5 .5 .5 .5 1.5 2\n")


CASES = [
    ("missing folder", lambda root: f"{root}/gone", DataError, r"source=.*/set/gone: no such file or folder"),
    ("empty folder", lambda root: shutil.rmtree(root) or root.mkdir(), DataError, r"no dataset of a known form"),
    (
        "truncated JPEG",
        spoil("images/train/3.jpg", jpeg(3)[:900]),
        DataError,
        r"set/images/train/3\.jpg: the JPEG is truncated or damaged \(900 bytes\); replace the file",
    ),
    (
        "class out of range",
        spoil("labels/train/3.txt", b"0 .5 .5 .5 .5\n7 .5 .5 .1 .1\n"),
        DataError,
        r"set/labels/train/3\.txt:2: class 7 is not in 0\.\.1 \(2 names\) in '7 \.5 \.5 \.1 \.1'; correct the class",
    ),
    (
        "box outside the image",
        spoil("labels/val/6.txt", b"0 .95 .5 .5 .5\n"),
        DataError,
        r"set/labels/val/6\.txt:1: the box 42 10 72 30 \(pixels\) is outside the 60x40 image",
    ),
    (
        "malformed row",
        spoil("labels/train/3.txt", b"0 .5 .5 .5\n"),
        DataError,
        r"set/labels/train/3\.txt:1: 3 numbers after the class, expected 4 \(cx cy w h\)",
    ),
    ("binary label", spoil("labels/train/3.txt", b"\xff\xfe\x00"), DataError, r"set/labels/train/3\.txt: .*decode"),
    (
        "keypoint outside the image",
        keypoint_outside,
        DataError,
        r"set/labels/train/3\.txt:1: the keypoint 30 60 \(pixels\) is outside the 60x40 image",
    ),
    (
        "mirrored keypoints",
        spoil("dataset.yaml", b"train: images/train\nval: images/val\nnames: [a]\nkpt_shape: [2, 3]\nflip_idx: [0]\n"),
        DataError,
        r"set/dataset\.yaml: flip_idx is \[0\]; give each of 0\.\.1 once",
    ),
    ("no labels", lambda root: shutil.rmtree(root / "labels"), DataError, r"none of the 8 images has a label"),
    ("no val", lambda root: shutil.rmtree(root / "images/val"), DataError, r"val: .*images/val is neither a folder"),
    ("broken archive member", tar_of_a_broken_set, DataError, r"/set\.tar/set/labels/train/0\.txt:1: class 9"),
    ("archive that climbs", zip_that_climbs, DataError, r"evil\.zip: '\.\./evil\.txt' leads outside the archive"),
    ("unreachable URL", lambda root: "http://127.0.0.1:9/set.zip", ServiceError, r"127\.0\.0\.1:9/set\.zip: cannot be"),
    ("strange scheme", lambda root: "gopher://x/y.zip", DataError, r"gopher:// is not supported"),
]


@pytest.mark.parametrize(("make", "error", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_bad_input_gives_one_line_and_no_output(folder, tmp_path, make, error, words):
    result = make(folder)
    source = result if isinstance(result, str) else folder
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(error, match=words) as caught:
        run(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} - before <= {".out.lock"}


def test_an_earlier_result_survives_a_failure(folder, tmp_path):
    run(folder, tmp_path / "out")
    before = tree_digest(tmp_path / "out")
    (folder / "labels/train/0.txt").write_text("nonsense")
    with pytest.raises(DataError):
        run(folder, tmp_path / "out")
    assert tree_digest(tmp_path / "out") == before


def test_a_full_disk(folder, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards._TarWriter, "write", full)
    with pytest.raises(StorageError, match="No space left on device; free space or choose another out="):
        run(folder, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".out.lock"}


def spoil_three(folder: Path) -> None:
    (folder / "labels/train/0.txt").write_text("7 .5 .5 .1 .1\n8 .5 .5 .1 .1\n")
    (folder / "labels/train/1.txt").write_text(ROW + "0 .5 .5 0 0\n")  # harmless
    (folder / "labels/train/4.txt").write_text("0 .5\n")
    (folder / "images/val/7.jpg").write_bytes(b"")


def test_the_first_problem_is_told_and_the_others_counted(folder, tmp_path):
    spoil_three(folder)
    listener = Notes()
    with pytest.raises(DataError) as caught:
        run(folder, tmp_path / "out", listener)
    assert "labels/train/0.txt:1: class 7" in str(caught.value)
    counts = "(+3 more: 1 class out of range, 1 malformed row, 1 broken image)"
    assert str(caught.value).endswith(f"{counts}; or leave such images out with invalid=drop")
    assert len(listener.notes) == 4


def test_what_is_broken_can_be_dropped(folder, tmp_path):
    spoil_three(folder)
    record = run(folder, tmp_path / "out", invalid="drop")
    assert record.images == {"train": 4, "val": 1}
    assert record.dropped == {
        "image left out: broken image": 1,
        "image left out: class out of range": 1,
        "image left out: malformed row": 1,
        "zero-area box": 1,
    }
    assert open_dataset(tmp_path / "out").split("train").names == ("1.jpg", "2.jpg", "3.jpg", "5.jpg")


def test_a_split_must_not_be_dropped_whole(folder, tmp_path):
    for number in (6, 7):
        (folder / f"images/val/{number}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="no usable image is left in val: "):
        run(folder, tmp_path / "out", invalid="drop")


def test_fractions_that_exceed_the_whole(folder, tmp_path):
    with pytest.raises(UsageError, match="exceed 1"):
        run(folder, tmp_path / "out", train_fraction=0.9, val_fraction=0.2)


def test_it_needs_neither_torch_nor_mlflow():
    heavy = ("torch", "mlflow", "matplotlib", "boto3", "requests")
    code = f"import sys, yolocore.modes.ingest; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
