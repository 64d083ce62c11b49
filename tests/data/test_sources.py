"""The forms that datasets come in, and what is said about those that cannot be read."""

import json
from pathlib import Path

import pytest
import yaml

from yolocore.data.labels import check
from yolocore.data.sources import Sample, assign_splits, open_source
from yolocore.data.sources.yolo import label_path
from yolocore.errors import DataError

SIZE = (40, 60)
ROW = "0 0.5 0.5 0.5 0.5\n"
BOX = (15.0, 10.0, 45.0, 30.0)  # what ROW says, in pixels


def found(source, name):
    """(class, box) of each usable object of an image."""
    sample = next(sample for sample in source.samples if sample.name == name)
    instances, problems = source.annotate(sample, SIZE)
    assert not problems
    return [(source.legend.names[i.category], i.box) for i in check(instances, SIZE, source.legend.names)[0]]


def by_split(source):
    return {split: [s.name for s in source.samples if s.split == split] for split in {s.split for s in source.samples}}


# --- YOLO ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description",
    [
        pytest.param({}, id="folders"),
        pytest.param({"path": "."}, id="path is the folder itself"),
        pytest.param({"path": "/home/somebody/set"}, id="path of another machine"),
        pytest.param({"train": ["images/train"], "val": ["images/val"]}, id="lists of folders"),
        pytest.param({"train": "train.txt", "val": ["images/val"]}, id="text file of images"),
        pytest.param({"train": "../images/train", "val": "../images/val"}, id="paths with a stray ../"),
        pytest.param({"val": None, "valid": "images/val"}, id="valid for val"),
        pytest.param({"names": {0: "cat", 1: "dog"}, "nc": 2}, id="names numbered, and their count"),
    ],
)
def test_yolo_descriptions(yolo_folder, description):
    root = yolo_folder({"train/a": ROW, "train/b": "", "val/c": ROW}, **description)
    (root / "train.txt").write_text("./images/train/a.jpg\nimages/train/b.jpg\n\n")
    source = open_source(root)
    assert source.legend.names == ("cat", "dog")
    assert by_split(source) == {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"]}
    assert found(source, "a.jpg") == [("cat", BOX)]
    assert found(source, "b.jpg") == []


def test_yolo_folder_without_a_yaml(yolo_folder):
    root = yolo_folder({"a": ROW, "sub/b": ROW})
    (root / "dataset.yaml").unlink()
    (root / "classes.txt").write_text("cat\ndog\n")
    source = open_source(root)
    assert by_split(source) == {None: ["a.jpg", "sub/b.jpg"]}
    assert found(source, "sub/b.jpg") == [("cat", BOX)]


def test_yolo_images_of_the_same_name_in_two_folders(yolo_folder):
    root = yolo_folder({"one/a": ROW, "two/a": ROW}, train=["images/one", "images/two"], val=None)
    assert by_split(open_source(root)) == {"train": ["one/a.jpg", "two/a.jpg"]}


def test_a_label_without_an_image_is_noticed(yolo_folder):
    root = yolo_folder({"train/a": ROW, "val/b": ROW})
    (root / "labels/train/gone.txt").write_text(ROW)
    assert [str(w) for w in open_source(root).warnings] == ["labels/train/gone.txt: no image has this name"]


def test_an_image_without_a_label_file_is_background(yolo_folder):
    root = yolo_folder({"train/a": ROW, "val/b": ROW})
    (root / "labels/train/a.txt").unlink()
    assert found(open_source(root), "a.jpg") == []


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("set/images/train/a.b.jpg", "set/labels/train/a.b.txt"),
        ("images/set/images/a.png", "images/set/labels/a.txt"),
        ("set/photos/a.jpg", "set/photos/a.txt"),
        ("set/images.jpg", "set/images.txt"),
    ],
)
def test_where_a_label_lies(image, label):
    assert label_path(Path(image)) == Path(label)


@pytest.mark.parametrize(
    ("row", "box"),
    [
        pytest.param("0 .25 .25 .75 .25 .75 .75", (15, 10, 45, 30), id="triangle"),
        pytest.param("0 -.1 .5 .5 -.1 .5 .5 .2 .9", (0, 0, 30, 36), id="corners past the edge are cut"),
        pytest.param("0  0.5\t0.5 0.5 0.5  ", BOX, id="odd spacing"),
        pytest.param("0.0 0.5 0.5 0.5 0.5", BOX, id="class written as 0.0"),
    ],
)
def test_yolo_rows(yolo_folder, row, box):
    root = yolo_folder({"train/a": row, "val/b": ""})
    assert found(open_source(root), "a.jpg") == [("cat", box)]


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        ("0 0.5 0.5 0.5", "malformed row", "3 numbers after the class, expected 4"),
        ("0 0.5 0.5 0.5 0.5 0.9", "malformed row", "5 numbers"),
        ("cat 0.5 0.5 0.5 0.5", "malformed row", "could not convert"),
        ("0,0.5,0.5,0.5,0.5", "malformed row", "could not convert"),
        ("1.5 0.5 0.5 0.5 0.5", "malformed row", "class 1.5 is no whole number"),
        ("nan 0.5 0.5 0.5 0.5", "malformed row", "no whole number"),
        ("0 0 0 20 0 20 30", "malformed row", "far outside"),
        ("2 0.5 0.5 0.5 0.5", "class out of range", "class 2 is not in 0..1"),
        ("0 0.9 0.5 0.5 0.5", "box outside the image", "39 10 69 30 (pixels) is outside the 60x40 image"),
        ("0 30 20 10 10", "box outside the image", "outside"),
        ("0 nan 0.5 0.5 0.5", "number not finite", "not a finite number"),
        ("0 0.5 0.5 -0.5 0.5", "negative box", "ends before it begins"),
        ("0 0.5 0.5 0.5 0", "zero-area box", "no area"),
    ],
)
def test_bad_yolo_rows(yolo_folder, row, kind, words):
    root = yolo_folder({"train/a": ROW + row, "val/b": ""})
    source = open_source(root)
    instances, problems = source.annotate(source.samples[0], SIZE)
    problems += check(instances, SIZE, source.legend.names)[1]
    assert [problem.kind for problem in problems] == [kind]
    assert str(problems[0]).startswith("labels/train/a.txt:2: ")
    assert words in str(problems[0])
    assert f"'{row}'" in str(problems[0])


def test_keypoints_and_rotated_boxes_of_real_datasets(shared):
    source = open_source(shared / "data" / "coco8-pose")
    instances, problems = source.annotate(source.samples[0], (480, 640))
    assert not problems
    assert all(len(instance.keypoints) == 17 * 3 for instance in instances)
    source = open_source(shared / "data" / "dota8")
    for sample in source.samples:
        instances, problems = source.annotate(sample, (1024, 1024))
        assert not problems
        assert check(instances, (1024, 1024), source.legend.names)[1] == []
        assert all(len(instance.polygons[0]) == 8 for instance in instances)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        pytest.param({"train": "images/nowhere"}, "train: .*nowhere is neither a folder", id="missing folder"),
        pytest.param({"train": "images"}, None, id="fine"),
        pytest.param({"train": "gone.txt"}, "neither a folder", id="missing list"),
        pytest.param({"train": "list.txt"}, "lists images/train/z.jpg, which is no image", id="list of missing images"),
        pytest.param({"train": "labels"}, "labels holds no image", id="folder without images"),
        pytest.param({"nc": 3}, "nc is 3 but names has 2", id="nc disagrees"),
        pytest.param({"names": {1: "cat", 2: "dog"}}, "number the classes 0, 1, 2", id="names from 1"),
        pytest.param({"names": []}, "list the names", id="no names"),
        pytest.param({"names": ["cat", "cat"]}, "'cat' twice", id="a name twice"),
        pytest.param({"kpt_shape": [17]}, "kpt_shape is", id="half a keypoint shape"),
        pytest.param({"kpt_shape": [0, 3]}, "kpt_shape is", id="no keypoints"),
        pytest.param({"kpt_shape": [2, 4]}, "kpt_shape is", id="keypoints in space"),
        pytest.param({"kpt_shape": [2, 3], "flip_idx": [0]}, "give each of 0..1 once", id="mirror of one keypoint"),
        pytest.param({"kpt_shape": [2, 3], "flip_idx": "10"}, "flip_idx is '10'; list", id="mirror as text"),
        pytest.param({"kpt_shape": [3, 3], "flip_idx": [1, 2, 0]}, "exchange two each", id="mirror in a round"),
    ],
)
def test_bad_yolo_descriptions(yolo_folder, description, words):
    root = yolo_folder({"train/a": ROW, "val/b": ROW}, **description)
    (root / "list.txt").write_text("images/train/z.jpg\n")
    if words is None:
        open_source(root)
        return
    with pytest.raises(DataError, match=words) as error:
        open_source(root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["names: [", "- a\n- b\n", "\x00"], ids=["broken", "a list", "binary"])
def test_a_description_that_is_no_yaml(yolo_folder, text):
    root = yolo_folder({"train/a": ROW})
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.yaml") as error:
        open_source(root / "dataset.yaml")
    assert "\n" not in str(error.value)


# --- COCO ---------------------------------------------------------------------------------------------------


def coco(images=("a.jpg",), annotations=(), categories=({"id": 7, "name": "dog"}, {"id": 3, "name": "cat"})):
    return {
        "images": [{"id": 10 + i, "file_name": name} for i, name in enumerate(images)],
        "annotations": [{"id": i, "image_id": 10, **row} for i, row in enumerate(annotations)],
        "categories": list(categories),
    }


@pytest.fixture
def coco_folder(tmp_path, jpeg):
    def build(files: dict[str, dict], images: tuple[str, ...]) -> Path:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(json.dumps(content))
        for name in images:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(jpeg(0))
        return tmp_path

    return build


@pytest.mark.parametrize(
    ("files", "images"),
    [
        (("annotations/instances_train2017.json", "annotations/instances_val2017.json"), ("train2017", "val2017")),
        (("annotations/instances_train.json", "annotations/instances_val.json"), ("images/train", "images/val")),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json"), ("train", "valid")),
        (("annotations/person_keypoints_train.json", "annotations/person_keypoints_val.json"), ("train", "val")),
        (("train.json", "val.json"), ("images", "images")),
    ],
    ids=["as published", "images in folders", "as one exporter writes it", "keypoints", "images in one folder"],
)
def test_coco_layouts(coco_folder, files, images):
    rows = [{"category_id": 3, "bbox": [15, 10, 30, 20]}]
    root = coco_folder(
        {files[0]: coco(["a.jpg"], rows), files[1]: coco(["b.jpg"], rows)},
        (f"{images[0]}/a.jpg", f"{images[1]}/b.jpg"),
    )
    if (root / "annotations").is_dir():
        (root / "annotations" / "captions_train.json").write_text("{}")  # of no use here, and no obstacle
    source = open_source(root)
    assert source.legend.names == ("cat", "dog")
    assert by_split(source) == {"train": ["a.jpg"], "val": ["b.jpg"]}
    assert all(sample.path.is_file() for sample in source.samples)
    assert found(source, "a.jpg") == found(source, "b.jpg") == [("cat", BOX)]


ROWS = [{"category_id": 3, "bbox": [15, 10, 30, 20], "keypoints": [1, 2, 2, 3, 4, 1, 5, 6, 2]}]


@pytest.mark.parametrize(
    ("rows", "names", "keypoints", "flip"),
    [
        pytest.param(ROWS, ["nose", "eye", "tail"], (3, 3), (-1, -1, -1), id="names without left and right"),
        pytest.param(ROWS, ["nose", "left_eye", "right_eye"], (3, 3), (0, 2, 1), id="named left and right"),
        pytest.param(ROWS, ["nose", "left_eye", "tail"], (3, 3), (0, 1, 2), id="a left one alone"),
        pytest.param(ROWS, None, (3, 3), (-1, -1, -1), id="without names"),
        pytest.param(ROWS, ["nose"], (3, 3), (-1, -1, -1), id="names of other keypoints"),
        pytest.param([{**ROWS[0], "keypoints": []}], ["nose"], None, (), id="nothing labelled"),
        pytest.param([*ROWS, {**ROWS[0], "keypoints": [1, 2, 2]}], None, None, (), id="two shapes"),
    ],
)
def test_coco_keypoints(coco_folder, rows, names, keypoints, flip):
    category = {"id": 3, "name": "cat"} | ({"keypoints": names} if names else {})
    source = open_source(coco_folder({"a.json": coco(["a.jpg"], rows, [category])}, ("a.jpg",)))
    assert source.legend.keypoints == keypoints
    assert source.legend.flip_idx == flip
    instances, problems = source.annotate(source.samples[0], SIZE)
    assert not problems
    assert instances[0].keypoints == (tuple(ROWS[0]["keypoints"]) if keypoints else ())
    left_out = ["annotations: objects have different numbers (1, 3)"] if len(rows) > 1 else []
    assert [str(warning) for warning in source.warnings] == left_out


def test_coco_objects(coco_folder):
    rows = [
        {"category_id": 7, "bbox": [15, 10, 30, 20], "segmentation": [[15, 10, 45, 10, 45, 30]], "iscrowd": 0},
        {"category_id": 3, "bbox": [0, 0, 60, 40], "segmentation": {"counts": [], "size": []}, "iscrowd": 1},
        {"category_id": 3, "bbox": [15, 10, 30, 20], "segmentation": {"counts": [], "size": []}},
        {"category_id": 3, "bbox": [15, 10, 30, 20], "keypoints": [1, 2, 2]},
    ]
    source = open_source(coco_folder({"labels.json": coco(["a.jpg"], rows)}, ("a.jpg",)))
    assert by_split(source) == {None: ["a.jpg"]}
    instances, problems = source.annotate(source.samples[0], SIZE)
    assert [i.category for i in instances] == [1, 0, 0]
    assert [i.box for i in instances] == [BOX] * 3
    assert instances[0].polygons == ((15, 10, 45, 10, 45, 30),)
    assert instances[2].keypoints == (1, 2, 2)
    assert [problem.kind for problem in problems] == ["crowd region"]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"category_id": 5, "bbox": [1, 2, 3, 4]}, "class out of range"),
        ({"bbox": [1, 2, 3, 4]}, "class out of range"),
        ({"category_id": 3, "bbox": [1, 2, 3]}, "malformed row"),
        ({"category_id": 3, "bbox": [1, 2, 3, "x"]}, "malformed row"),
        ({"category_id": 3}, "malformed row"),
        ({"category_id": 3, "bbox": [1, 2, 3, 4], "keypoints": [1, 2, 2, 1]}, "malformed row"),
        ({"category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "malformed row"),
        ({"category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": [1, 2, 3, 4, 5, 6]}, "malformed row"),
    ],
    ids=[
        "unknown category", "no category", "three numbers", "text", "no box", "half a keypoint", "x without y",
        "no list of polygons",
    ],
)  # fmt: skip
def test_bad_coco_objects(coco_folder, row, kind):
    source = open_source(coco_folder({"labels.json": coco(["a.jpg"], [row])}, ("a.jpg",)))
    instances, problems = source.annotate(source.samples[0], SIZE)
    assert not instances
    assert [problem.kind for problem in problems] == [kind]
    assert str(problems[0]).startswith("labels.json annotation 0 (a.jpg): ")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.json": {"images": []}}, "a.json: is no COCO annotation file"),
        ({"a.json": [1]}, "a.json: is no COCO annotation file"),
        ({"a.json": coco(categories=[])}, "no categories"),
        ({"a.json": coco(categories=[{"id": 1, "name": "x"}, {"id": 2, "name": "x"}])}, "two categories called 'x'"),
        ({"a.json": coco(["a.jpg", "a.jpg"])}, "a.jpg twice"),
        ({"a.json": coco(), "b.json": coco()}, "does not say which split"),
        (
            {"train.json": coco(), "val.json": coco(categories=[{"id": 7, "name": "cow"}])},
            "category 7 is 'cow', elsewhere 'dog'",
        ),
    ],
    ids=["no annotations", "a list", "no classes", "a class twice", "an image twice", "no splits", "classes disagree"],
)
def test_bad_coco_files(coco_folder, files, words):
    with pytest.raises(DataError, match=words):
        open_source(coco_folder(files, ("a.jpg",)), ("coco",))


# --- class folders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "splits"),
    [
        pytest.param(
            ["train/dog/a.jpg", "train/cat/b.jpg", "val/cat/c.jpg"],
            {"train": ["cat/b.jpg", "dog/a.jpg"], "val": ["cat/c.jpg"]},
            id="splits",
        ),
        pytest.param(
            ["train/dog/a.jpg", "training/cat/b.jpg", "valid/cat/c.jpg", "test/cat/d.jpg"],
            {"train": ["cat/b.jpg", "dog/a.jpg"], "val": ["cat/c.jpg"], "test": ["cat/d.jpg"]},
            id="splits by other names",
        ),
        pytest.param(["dog/a.jpg", "cat/b.jpg"], {None: ["cat/b.jpg", "dog/a.jpg"]}, id="no splits"),
        pytest.param(["set/dog/a.jpg", "set/cat/b.jpg"], {None: ["cat/b.jpg", "dog/a.jpg"]}, id="a folder deeper"),
        pytest.param(["dog/x/a.jpg", "cat/b.png"], {None: ["cat/b.png", "dog/x/a.jpg"]}, id="images deeper in a class"),
        pytest.param(
            ["dog/a.jpg", "cat/b.jpg", ".cache/c.jpg", "__MACOSX/dog/a.jpg"],
            {None: ["cat/b.jpg", "dog/a.jpg"]},
            id="what archivers and tools leave",
        ),
    ],
)
def test_class_folders(class_folders, images, splits):
    source = open_source(class_folders(*images))
    assert source.legend.names == ("cat", "dog")
    assert source.legend.whole
    assert by_split(source) == splits
    for sample in source.samples:
        assert sample.path.is_file()
        assert found(source, sample.name) == [(sample.name.split("/")[0], (0, 0, 60, 40))]


@pytest.mark.parametrize(
    "images",
    [
        ["cat/a.jpg", "cat/b.jpg"],
        ["a.jpg", "b.jpg"],
        ["images/train/a.jpg", "labels/train/a.txt"],
        ["train/images/a.jpg", "train/labels/a.txt", "val/images/b.jpg", "val/labels/b.txt"],
        ["train/cat/a.jpg", "val/cat/b.jpg"],
        ["cat/a.jpg", "dog/a.txt"],
    ],
    ids=[
        "one class",
        "no folders",
        "images and labels",
        "a folder of labels a split",
        "one class in splits",
        "no image",
    ],
)
def test_folders_that_are_no_classes(class_folders, images):
    with pytest.raises(DataError, match=r"no dataset of a known form; looked for .*; folders: folders of images"):
        open_source(class_folders(*images))


def test_a_class_may_be_called_train(class_folders):
    source = open_source(class_folders("train/a.jpg", "car/b.jpg"))
    assert source.legend.names == ("car", "train")
    assert by_split(source) == {None: ["car/b.jpg", "train/a.jpg"]}


def test_one_class_is_nothing_to_tell_apart(class_folders):
    with pytest.raises(DataError, match="holds no class folders: of images in folders there are only of class 'cat'"):
        open_source(class_folders("cat/a.jpg", "a.jpg"), ("folders",))


# --- VOC ----------------------------------------------------------------------------------------------------

OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


@pytest.fixture
def voc_folder(tmp_path, jpeg):
    def build(annotations: dict[str, str], lists: dict[str, str] | None = None) -> Path:
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (tmp_path / folder).mkdir(parents=True)
        for stem, objects in annotations.items():
            (tmp_path / "Annotations" / f"{stem}.xml").write_text(f"<annotation>{objects}</annotation>")
            (tmp_path / "JPEGImages" / f"{stem}.jpg").write_bytes(jpeg(0))
        for name, text in (lists or {}).items():
            (tmp_path / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
        return tmp_path

    return build


def test_voc_boxes_count_pixels_from_one(voc_folder):
    root = voc_folder({"a": OBJECT.format("cat", 16, 11, 45, 30) + OBJECT.format("ant", 1, 1, 60, 40)})
    source = open_source(root)
    assert source.legend.names == ("ant", "cat")
    assert by_split(source) == {None: ["a.jpg"]}
    assert found(source, "a.jpg") == [("cat", BOX), ("ant", (0, 0, 60, 40))]


def test_voc_lists_are_the_splits(voc_folder):
    row = OBJECT.format("cat", 16, 11, 45, 30)
    root = voc_folder(
        dict.fromkeys("abcd", row),
        {"train": "b\na 1\n", "val": "c -1\n", "trainval": "a\nb\nc\n", "cat_val": "d\n"},
    )
    source = open_source(root)
    assert by_split(source) == {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg"]}
    assert [str(w) for w in source.warnings] == ["d.jpg: no list of ImageSets names it"]


@pytest.mark.parametrize(
    ("annotations", "lists", "words"),
    [
        ({"a": OBJECT.format("cat", 1, 1, 2, 2)}, {"train": "z\n"}, "lists z, but no image"),
        ({"a": ""}, {}, "no file there names an object"),
    ],
    ids=["a list of missing images", "no objects"],
)
def test_bad_voc_folders(voc_folder, annotations, lists, words):
    with pytest.raises(DataError, match=words):
        open_source(voc_folder(annotations, lists))


def test_bad_voc_files(voc_folder):
    root = voc_folder({"a": OBJECT.format("cat", 1, "", 2, 2), "b": "<object>"})
    source = open_source(root)
    problems = [source.annotate(sample, SIZE)[1] for sample in source.samples]
    assert [str(found[0]).split(";")[0] for found in problems] == [
        "Annotations/a.xml object 1: the box is not four numbers in 'cat 1  2 2'",
        "Annotations/b.xml: is not XML",
    ]


def test_bccd_has_its_own_split(shared):
    source = open_source(shared / "data" / "bccd")
    assert source.legend.names == ("Platelets", "RBC", "WBC")
    assert {split: len(names) for split, names in by_split(source).items()} == {"train": 205, "val": 87, "test": 72}


# --- which form ---------------------------------------------------------------------------------------------


def test_a_folder_in_a_folder_is_found(yolo_folder, tmp_path):
    root = yolo_folder({"train/a": ROW, "val/b": ROW}, name="outer/inner")
    (tmp_path / "outer" / "__MACOSX").mkdir()
    (root / "images/train/._a.jpg").write_bytes(b"side file")
    assert len(open_source(tmp_path / "outer").samples) == 2


def test_a_folder_of_no_form(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"no dataset of a known form; looked for yolo: .*coco: .*voc: "):
        open_source(tmp_path)


def test_a_folder_of_two_forms(yolo_folder):
    root = yolo_folder({"train/a": ROW, "val/b": ROW})
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(coco()))
    with pytest.raises(DataError, match="yolo or coco; say which with format=yolo"):
        open_source(root)
    assert open_source(root, ("coco",)).legend.names == ("cat", "dog")


def test_two_descriptions(yolo_folder):
    root = yolo_folder({"train/a": ROW, "val/b": ROW})
    (root / "data.yaml").write_text(yaml.safe_dump({"names": ["x"]}))
    with pytest.raises(DataError, match=r"several descriptions \(data.yaml, dataset.yaml\)"):
        open_source(root)


# --- splits -------------------------------------------------------------------------------------------------


def samples(count, split=None):
    return [Sample(f"{i}.jpg", Path(f"{i}.jpg"), split) for i in range(count)]


def test_the_hash_split_moves_no_image_when_others_come():
    few, many = (assign_splits(samples(count), 0, 0.8, 0.1) for count in (300, 1000))
    for split, found in few.items():
        assert set(found) <= set(many[split])
    assert 760 < len(many["train"]) < 840
    assert 70 < len(many["val"]) < 130
    assert assign_splits(samples(300), 1, 0.8, 0.1) != few


def test_a_source_with_only_train_is_split_too():
    assert set(assign_splits(samples(300, "train"), 0, 0.8, 0.1)) == {"train", "val", "test"}


def test_own_splits_are_kept():
    own = {"train": samples(2, "train"), "val": samples(3, "val")}
    assert assign_splits([*own["train"], *own["val"]], 0, 0.5, 0.5) == own
    assert assign_splits(own["val"], 0, 0.5, 0.5) == {"val": own["val"]}


@pytest.mark.parametrize("given", [samples(1), samples(3, "train") + samples(3, "test")], ids=["one image", "no val"])
def test_training_needs_val(given):
    with pytest.raises(DataError, match="no image for val"):
        assign_splits(given, 0, 0.999, 0.001)
