"""Files of weights: what is written comes back; what is no YOLO11 is refused in one line."""

import copy
from types import SimpleNamespace

import pytest
import torch

from tests.model.checkpoints import public_model, write_public
from yolocore.errors import ModelError, StorageError
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import FORMAT, load_weights, save_weights
from yolocore.model.yolo11 import build

NAMES = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def model():
    """A yolo11n whose every tensor differs from a fresh one."""
    torch.manual_seed(0)
    model = build("n", len(NAMES)).train()
    model(torch.rand(2, 3, 64, 64))
    return model.eval()


META = ModelMeta(scale="n", names=NAMES, imgsz=320)


def assert_same(model, other):
    own, others = model.state_dict(), other.state_dict()
    assert list(own) == list(others)
    assert all(torch.equal(own[key], others[key]) for key in own)


def test_our_file_comes_back(tmp_path, model):
    save_weights(tmp_path / "best.pt", model, META)
    loaded, meta = load_weights(tmp_path / "best.pt")
    assert meta == META
    assert_same(loaded, model)
    assert not loaded.training
    assert loaded.head.dfl.conv.weight.requires_grad is False
    assert torch.load(tmp_path / "best.pt", weights_only=True)["meta"]["names"] == list(NAMES)


@pytest.mark.parametrize("layout", ["ours", "public"])
def test_the_width_of_a_class_branch_made_for_other_classes_comes_back(tmp_path, layout):
    # A model that started from 80 classes' weights keeps their branch, in the public trainer as well.
    wide = build("n", len(NAMES), class_width=80).eval()
    path = tmp_path / "wide.pt"
    if layout == "ours":
        save_weights(path, wide, META)
    else:
        write_public(path, {"model": public_model(copy.deepcopy(wide), NAMES), "train_args": {"imgsz": 320}})
    loaded, meta = load_weights(path)
    assert (loaded.head.class_width, meta) == (80, META)
    assert_same(loaded, wide)


def test_equal_weights_give_equal_bytes(tmp_path, model):
    save_weights(tmp_path / "a.pt", model, META)
    save_weights(tmp_path / "b.pt", copy.deepcopy(model).to(memory_format=torch.channels_last), META)
    save_weights(tmp_path / "c.pt", *load_weights(tmp_path / "a.pt"))
    first = (tmp_path / "a.pt").read_bytes()
    assert first == (tmp_path / "b.pt").read_bytes() == (tmp_path / "c.pt").read_bytes()


def test_nothing_is_left_where_writing_fails(tmp_path, model):
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "best.pt").mkdir()  # a folder in the way refuses the rename, as root too
    with pytest.raises((StorageError, OSError)):
        save_weights(folder / "best.pt", model, META)
    assert [path.name for path in folder.iterdir()] == ["best.pt"]


@pytest.mark.parametrize(
    ("kept", "precision", "rtol"),
    [
        pytest.param("model", torch.float32, 0.0, id="the model"),
        pytest.param("ema", torch.float32, 0.0, id="averaged weights where the file has them"),
        pytest.param("ema", torch.float16, 1e-3, id="half precision"),
    ],
)
def test_public_layout(tmp_path, model, kept, precision, rtol):
    weights = public_model(copy.deepcopy(model).to(precision), NAMES)
    content = {"model": None, "ema": None, "train_args": {"imgsz": 320}, "epoch": -1}
    content[kept] = weights
    if kept == "ema":
        content["model"] = public_model(build("n", len(NAMES)), NAMES)
    loaded, meta = load_weights(write_public(tmp_path / "public.pt", content))
    assert meta == META
    for key, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=rtol, atol=1e-6, msg=key)


def test_public_layout_of_a_training_that_has_not_ended(tmp_path, model):
    """Its settings are an object, which the network and its loss hold too, the loss beside its device."""
    given = SimpleNamespace(imgsz=320, lr0=0.01, project=None)
    network = public_model(copy.deepcopy(model), NAMES)
    network.args = given
    network.criterion = torch.nn.BCEWithLogitsLoss()
    network.criterion.hyp, network.criterion.device = given, torch.device("cpu")
    content = {"epoch": 3, "model": None, "ema": network, "train_args": given}
    loaded, meta = load_weights(write_public(tmp_path / "last.pt", content))
    assert meta == META
    assert_same(loaded, model)


@pytest.mark.parametrize("scale", "sml")
def test_public_layout_tells_the_size_by_its_shapes(tmp_path, scale):
    source = public_model(build(scale, 3).half(), NAMES)
    loaded, meta = load_weights(write_public(tmp_path / "public.pt", {"model": source}))
    assert (meta.scale, loaded.scale, meta.imgsz) == (scale, scale, 640)


def of_other_width(model):
    model.model[5].conv = torch.nn.Conv2d(128, 64, 3)


def of_another_family(model):
    """As YOLOv8 has its second stage: with its block's two halves and one bottleneck, but half as wide at the end."""
    model.model[2].cv2.conv = torch.nn.Conv2d(48, 32, 1, bias=False)


def of_another_class_branch(model):
    for level in model.model[23].cv3:
        level[0][1].conv = torch.nn.Conv2d(64, 101, 1, bias=False)


def without_a_layer(model):
    del model.model[22]


def with_a_layer_more(model):
    model.model[22].extra = torch.nn.Conv2d(1, 1, 1)


def with_a_name_less(model):
    model.names.popitem()


def of_other_strides(model):
    model.stride = torch.tensor([4.0, 8.0, 16.0])


def without_strides(model):
    del model.stride


def with_huge_names(model):
    model.names = {0: ["a", "list"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_other_width, r"model.5.conv.weight has the shape \(64, 128, 3, 3\), not \(128, 128, 3, 3\)"),
        (
            of_another_family,
            r"model.2.cv2.conv.weight has the shape \(32, 48, 1, 1\), not \(64, 48, 1, 1\); give a YOLO11",
        ),
        (
            of_another_class_branch,
            r"model.23.cv3.0.0.1.conv.weight has the shape \(101, 64, 1, 1\), not \(64, 64, 1, 1\)",
        ),
        (without_a_layer, r"has no tensor model.22.cv1.conv.weight"),
        (with_a_layer_more, r"has a tensor model.22.extra.bias too many"),
        (with_a_name_less, r"model.23.cv3.0.2.weight has the shape \(3, 64, 1, 1\), not \(2, 64, 1, 1\)"),
        (of_other_strides, r"has the strides \[4.0, 8.0, 16.0\]; a YOLO11 checkpoint has \[8, 16, 32\]"),
        (without_strides, r"is no YOLO11 checkpoint; give one that is"),
        (with_huge_names, r"is no YOLO11 checkpoint; give one that is"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_refuses_another_architecture(tmp_path, model, change, message):
    source = public_model(copy.deepcopy(model), NAMES)
    change(source)
    path = write_public(tmp_path / "other.pt", {"model": source})
    with pytest.raises(ModelError, match=f"^{path}: {message}"):
        load_weights(path)


def test_modules_in_a_circle_end(tmp_path, model):
    source = public_model(copy.deepcopy(model), NAMES)
    source._modules["again"] = source
    assert_same(load_weights(write_public(tmp_path / "circle.pt", {"model": source}))[0], model)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({"weights": [1]}, "holds no model; give weights saved here or in the public", id="no model"),
        pytest.param([1, 2], "holds no model", id="a list"),
        pytest.param(
            {"format": FORMAT, "state": {}}, "is a damaged checkpoint; get the file again", id="ours, no meta"
        ),
        pytest.param(
            {"format": FORMAT, "state": {}, "meta": META.model_dump(mode="json")},
            "has no tensor model.0.conv.weight; give a YOLO11 checkpoint",
            id="ours, no weights",
        ),
        pytest.param(
            {"model": torch.nn.SiLU()}, "holds a torch.nn.modules.activation.SiLU; give a YOLO11", id="a layer"
        ),
    ],
)
def test_refuses_other_content(tmp_path, content, message):
    path = write_public(tmp_path / "odd.pt", content)
    with pytest.raises(ModelError, match=f"^{path}: {message}"):
        load_weights(path)


TASKS = {
    "detect": ("DetectionModel", None),
    "segment": ("SegmentationModel", None),
    "pose": ("PoseModel", (5, 2)),
    "classify": ("ClassificationModel", None),
    "obb": ("OBBModel", None),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_comes_back(tmp_path, task):
    task_class, keypoints = TASKS[task]
    source = build("n", len(NAMES), task, keypoints)
    meta = ModelMeta(task=task, names=NAMES, imgsz=320, keypoints=keypoints)
    save_weights(tmp_path / "ours.pt", source, meta)
    if keypoints:
        source.head.kpt_shape = list(keypoints)
    content = {"model": public_model(source, NAMES), "train_args": {"imgsz": 320}}
    write_public(tmp_path / "public.pt", content, task_class)
    for path in (tmp_path / "ours.pt", tmp_path / "public.pt"):
        loaded, said = load_weights(path)
        assert said == meta
        assert (loaded.task, loaded.keypoints) == (task, keypoints)
        assert_same(loaded, source)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(None, id="none"),
        pytest.param([17], id="without dimensions"),
        pytest.param([17, 4], id="of four dimensions"),
        pytest.param([10**9, 3], id="more than any memory holds"),
        pytest.param("17", id="a text"),
    ],
)
def test_refuses_keypoints_without_sense(tmp_path, shape):
    source = build("n", 1, "pose", (2, 3))
    source.head.kpt_shape = shape
    path = write_public(tmp_path / "pose.pt", {"model": public_model(source, ["person"])}, "PoseModel")
    with pytest.raises(ModelError, match="is no YOLO11 checkpoint; give one that is"):
        load_weights(path)


def test_refuses_a_width_that_there_is_not(tmp_path, model):
    source = public_model(copy.deepcopy(model), NAMES)
    source.model[0].conv = torch.nn.Conv2d(3, 24, 3)
    path = write_public(tmp_path / "odd.pt", {"model": source})
    with pytest.raises(ModelError, match=f"^{path}: is no YOLO11 checkpoint; give one that is$"):
        load_weights(path)


def test_more_names_than_weights_cost_no_memory(tmp_path, model):
    source = public_model(copy.deepcopy(model), ["same"] * 100_000)
    path = write_public(tmp_path / "names.pt", {"model": source})
    with pytest.raises(ModelError, match=r"not \(100000, 64, 1, 1\); give a YOLO11 checkpoint"):
        load_weights(path)


def test_public_weights_on_hand(shared):
    model, meta = load_weights(shared / "data/weights/yolo11n.pt")
    assert (meta.scale, meta.imgsz, meta.stride, len(meta.names), meta.names[0]) == ("n", 640, 32, 80, "person")
    assert model.head.dfl.conv.weight.flatten().tolist() == list(range(16))


def test_public_weights_of_another_task_on_hand(shared):
    model, meta = load_weights(shared / "data/weights/yolo11n-seg.pt")
    assert (meta.task, meta.scale, meta.imgsz, len(meta.names)) == ("segment", "n", 640, 80)
    with torch.no_grad():
        predictions, prototypes = model(torch.rand(1, 3, 96, 64))
    assert bool(predictions.isfinite().all() and prototypes.isfinite().all())
