"""The public layout, written: it names public classes only, reads back equal, and looks like public files."""

import pickletools
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from yolocore.meta import ModelMeta
from yolocore.model.archive import Archive, Global, Stub, TensorRef
from yolocore.model.checkpoint import load_weights
from yolocore.model.pickling import write_archive
from yolocore.model.publish import save_public
from yolocore.model.yolo11 import SCALES, build

NAMES = ("circle", "square", "triangle")
KEYPOINTS = {"pose": (4, 2)}
TASKS = ("detect", "segment", "pose", "classify", "obb")
# What public checkpoints name, by module.
PUBLIC = {
    "torch": "FloatStorage HalfStorage LongStorage Size",
    "torch._utils": "_rebuild_tensor_v2 _rebuild_parameter",
    "torch.nn.modules.activation": "SiLU",
    "torch.nn.modules.batchnorm": "BatchNorm2d",
    "torch.nn.modules.container": "ModuleList Sequential",
    "torch.nn.modules.conv": "Conv2d ConvTranspose2d",
    "torch.nn.modules.dropout": "Dropout",
    "torch.nn.modules.linear": "Identity Linear",
    "torch.nn.modules.pooling": "MaxPool2d AdaptiveAvgPool2d",
    "torch.nn.modules.upsampling": "Upsample",
    "collections": "OrderedDict",
    "__builtin__": "set",
    "ultralytics.nn.modules.block": "Attention Bottleneck C2PSA C3k C3k2 DFL PSABlock Proto SPPF",
    "ultralytics.nn.modules.conv": "Concat Conv",
    "ultralytics.nn.modules.head": "Detect Segment Pose OBB Classify",
    "ultralytics.nn.tasks": "DetectionModel SegmentationModel PoseModel OBBModel ClassificationModel",
}


def publish(folder, task, scale="n"):
    torch.manual_seed(0)
    model = build(scale, len(NAMES), task, KEYPOINTS.get(task))
    meta = ModelMeta(task=task, scale=scale, names=NAMES, imgsz=320, keypoints=KEYPOINTS.get(task))
    save_public(folder / "public.pt", model, meta)
    return folder / "public.pt", model, meta


def program(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("archive/data.pkl")


@pytest.mark.parametrize("task", TASKS)
def test_comes_back_equal(tmp_path, task):
    path, model, meta = publish(tmp_path, task)
    loaded, said = load_weights(path)
    assert said == meta
    own, others = model.state_dict(), loaded.state_dict()
    assert list(own) == list(others)
    assert all(torch.equal(own[key], others[key]) for key in own)


@pytest.mark.parametrize("task", TASKS)
def test_names_nothing_that_public_checkpoints_do_not(tmp_path, task):
    path, _, _ = publish(tmp_path, task)
    allowed = {f"{module} {name}" for module, names in PUBLIC.items() for name in names.split()}
    named = {argument for instruction, argument, _ in pickletools.genops(program(path)) if instruction.name == "GLOBAL"}
    assert named <= allowed


@pytest.mark.parametrize("task", TASKS)
def test_torch_makes_modules_of_it(tmp_path, monkeypatch, task):
    """With empty classes under the public names, torch itself unpickles a module with our weights."""
    path, model, _ = publish(tmp_path, task)
    monkeypatch.setitem(sys.modules, "ultralytics", types.ModuleType("ultralytics"))
    for room, names in PUBLIC.items():
        if room.startswith("ultralytics"):
            fake = types.ModuleType(room)
            for name in names.split():
                setattr(fake, name, type(name, (nn.Module,), {"__module__": room}))
            monkeypatch.setitem(sys.modules, room, fake)
    loaded = torch.load(path, weights_only=False)["model"]
    own, others = model.state_dict(), loaded.state_dict()
    assert list(own) == list(others)
    assert all(torch.equal(own[key], others[key]) for key in own)
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in model.parameters()]
    assert not any(module.training for module in loaded.modules())
    assert getattr(loaded, "kpt_shape", None) == (list(KEYPOINTS[task]) if task in KEYPOINTS else None)
    assert sum(1 for m in loaded.modules() if not any(m.children())) == sum(
        1 for m in model.modules() if not any(m.children())
    )


def test_equal_weights_give_equal_bytes(tmp_path):
    path, model, meta = publish(tmp_path, "detect")
    save_public(tmp_path / "again.pt", model.to(memory_format=torch.channels_last), meta)
    assert path.read_bytes() == (tmp_path / "again.pt").read_bytes()


def modules(stub: Stub, path: str = "") -> dict[str, Stub]:
    found = {path: stub}
    for name, child in stub.state["_modules"].items():
        found |= modules(child, f"{path}.{name}")
    return found


# Results of a pass at one shape, a method borrowed by the class itself, and where the file lay.
PASSING = {"anchors", "strides", "shape", "detect", "criterion", "pt_path"}


@pytest.mark.parametrize("name", ["yolo11n", "yolo11n-seg"])
def test_looks_like_the_public_file(shared, tmp_path, name):
    public = shared / f"data/weights/{name}.pt"
    save_public(tmp_path / "ours.pt", *load_weights(public))
    theirs, ours = (modules(Archive(path).root["model"]) for path in (public, tmp_path / "ours.pt"))
    assert list(theirs) == list(ours)
    for path, stub in theirs.items():
        same = {"DWConv": "Conv"}.get(stub.type.name, stub.type.name)
        assert ours[path].type == Global(stub.type.module, same), path
        assert stub.state.keys() - PASSING == ours[path].state.keys(), path
        for key, value in stub.state.items():
            ours_says = ours[path].state.get(key)
            if key in ("_parameters", "_buffers"):
                assert [(k, v and v.shape) for k, v in value.items()] == [
                    (k, v and v.shape) for k, v in ours_says.items()
                ]
            elif key not in {*PASSING, "_modules", "inplace", "yaml", "args"} and not isinstance(value, TensorRef):
                assert ours_says == value, (path, key)


@pytest.mark.parametrize("name", ["yolo11n", "yolo11n-seg"])
def test_describes_the_network_as_the_public_file_does(shared, tmp_path, name):
    public = shared / f"data/weights/{name}.pt"
    save_public(tmp_path / "ours.pt", *load_weights(public))
    theirs, ours = (Archive(path).root["model"].state["yaml"] for path in (public, tmp_path / "ours.pt"))
    scale = SCALES[theirs["scale"]]
    expected = []
    for sources, repeats, kind, arguments in theirs["backbone"] + theirs["head"]:
        if kind in ("Conv", "C3k2", "SPPF", "C2PSA"):
            arguments = [scale.channels(arguments[0]), *arguments[1:]]
        if kind == "C3k2" and len(arguments) == 2:
            arguments = [*arguments, 0.5]
        if kind == "Segment":
            arguments = [*arguments[:2], scale.channels(arguments[2])]
        expected.append([sources, scale.repeats(repeats) if repeats > 1 else 1, kind, arguments])
    assert ours["backbone"] + ours["head"] == expected
    assert (ours["nc"], ours["ch"], ours["yaml_file"]) == (theirs["nc"], theirs["ch"], theirs["yaml_file"])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(0, 9), inner),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("values") / "values.pt"


@given(values)
def test_plain_values_come_back(scratch, value):
    scratch.write_bytes(write_archive(value))
    assert Archive(scratch).root == value
    assert torch.load(scratch, weights_only=True) == value


def test_refuses_what_a_checkpoint_cannot_hold():
    with pytest.raises(TypeError, match="a checkpoint cannot hold a function"):
        write_archive({"hook": lambda: None})
