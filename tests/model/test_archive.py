"""Reading checkpoints that lie, attack, or are broken: nothing in them runs, and one line says why."""

import io
import os
import pickle
import runpy
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.checkpoints import write_archive
from yolocore.errors import ModelError
from yolocore.model.archive import Archive, TensorRef


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def attacks(marker: Path) -> dict[str, tuple[object, str]]:
    """What a file could hold to get code run, and the name that the refusal must give."""
    shell = Call(os.system, f"touch {marker}")
    return {
        "a shell command": (shell, "posix.system"),
        "eval": (Call(eval, f"open({str(marker)!r}, 'w')"), "builtins.eval"),
        "exec": (Call(exec, f"open({str(marker)!r}, 'w')"), "builtins.exec"),
        "a module that is run": (Call(runpy.run_module, "this"), "runpy.run_module"),
        "getattr of a known class": (Call(getattr, torch.nn.Conv2d, "__init__"), "builtins.getattr"),
        "getattr of a module": (Call(getattr, "os", "system"), "builtins.getattr"),
        "torch reading another file": (Call(torch.load, "other.pt"), "torch.serialization.load"),
        "a known class, called": (Call(torch.nn.Linear, 1, 1), "torch.nn.modules.linear.Linear"),
        "a class that opens a file": (Call(zipfile.ZipFile, str(marker), "w"), "zipfile.ZipFile"),
        "a call deep inside": ({"train_args": [{"project": (1, shell)}]}, "posix.system"),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("attack", attacks(Path()))
def test_refuses_code_by_name(tmp_path, attack, protocol):
    marker = tmp_path / "ran"
    content, named = attacks(marker)[attack]
    path = tmp_path / "evil.pt"
    torch.save({"model": content}, path, pickle_protocol=protocol)
    with pytest.raises(ModelError) as refusal:
        Archive(path)
    assert str(refusal.value) == f"{path}: refused, it asks for {named}, which no checkpoint needs; do not use it"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("program", "named"),
    [
        pytest.param(
            b"c__builtin__\ngetattr\n(cultralytics.nn.modules.head\nDetect\nX\x07\x00\x00\x00forwardtR",
            "ultralytics.nn.modules.head.Detect",
            id="the method that a segmenter borrows",
        ),
        pytest.param(
            b"c__builtin__\ngetattr\n(ctorchvision.transforms.functional\nInterpolationMode\nX\x08\x00\x00\x00BILINEARtR",
            "torchvision.transforms.functional.InterpolationMode",
            id="the interpolation of a classifier, by name",
        ),
        pytest.param(
            b"ctorchvision.transforms.functional\nInterpolationMode\nX\x08\x00\x00\x00bilinear\x85R",
            "torchvision.transforms.functional.InterpolationMode",
            id="the same, by value",
        ),
        pytest.param(
            b"ctorchvision.transforms.transforms\nCompose\n)\x81}X\x0a\x00\x00\x00transforms]sb",
            "torchvision.transforms.transforms.Compose",
            id="the transforms of a classifier",
        ),
        pytest.param(
            b"cultralytics.utils\nIterableSimpleNamespace\n)R}X\x06\x00\x00\x00epochsK\x03sb",
            "ultralytics.utils.IterableSimpleNamespace",
            id="the settings of a training that has not ended",
        ),
        pytest.param(
            b"ctorch\ndevice\nX\x03\x00\x00\x00cpu\x85R", "torch.device", id="the device of a loss that was computed"
        ),
    ],
)
def test_remembers_what_public_checkpoints_name(tmp_path, program, named):
    path = write_archive(tmp_path / "model.pt", b"\x80\x02" + program + b".")
    assert str(Archive(path).root.type) == named


_SETTINGS = b"\x80\x02cultralytics.utils\nIterableSimpleNamespace\n)R"


def test_settings_are_remembered_as_data(tmp_path):
    path = write_archive(tmp_path / "last.pt", _SETTINGS + b"}X\x06\x00\x00\x00epochsK\x03sb.")
    assert Archive(path).root.state == {"epochs": 3}


@pytest.mark.parametrize(
    ("program", "named"),
    [
        pytest.param(
            b"}X\x01\x00\x00\x00acposix\nsystem\nX\x04\x00\x00\x00true\x85Rsb.", "posix.system", id="a call in a value"
        ),
        pytest.param(
            b"}X\x01\x00\x00\x00acultralytics.utils\nrun\n)Rsb.",
            "ultralytics.utils.run",
            id="a function of the same module",
        ),
    ],
)
def test_settings_open_no_door(tmp_path, program, named):
    path = write_archive(tmp_path / "evil.pt", _SETTINGS + program)
    with pytest.raises(ModelError, match=f"refused, it asks for .*{named}, which no checkpoint needs"):
        Archive(path)


# A float32 storage of four elements, in the middle of a call that makes a tensor of it.
_TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n"
    b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x80\x02}", id="no end"),
        pytest.param(b"\x80\x02.", id="an empty stack"),
        pytest.param(b"(S'touch ran'\nios\nsystem\n.", id="an instruction that instantiates"),
        pytest.param(b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.", id="attributes for a class"),
        pytest.param(b"\x80\x02]}X\x01\x00\x00\x00aK\x01sb.", id="attributes for a list"),
        pytest.param(b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.", id="a key nested deep"),
        pytest.param(b"\x80\x02)" + b"\x85" * 200_000 + b")R.", id="a call of something nested deep"),
        pytest.param(b"\x80\x02)" + b"\x85" * 200_000 + b")\x81.", id="an object of something nested deep"),
        pytest.param(b"\x80\x04\x8c\x01a)" + b"\x85" * 200_000 + b"\x93.", id="a name nested deep"),
        pytest.param(_SETTINGS + b"X\x01\x00\x00\x00a\x85R.", id="a call of settings"),
        pytest.param(b"\x80\x02K\x01K\x02a.", id="appending to a number"),
        pytest.param(b"\x80\x02j\xff\xff\xff\x7f.", id="a memory that was never written"),
        pytest.param(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", id="a text longer than the file"),
        pytest.param(b"\x80\x02" + _TENSOR + b"K\x00(K\x05t(K\x01t\x89}tR.", id="a tensor longer than its storage"),
        pytest.param(
            b"\x80\x02" + _TENSOR + b"K\x04(K\x01t(K\x01t\x89}tR.", id="a tensor that starts after its storage"
        ),
        pytest.param(
            b"\x80\x02" + _TENSOR + b"J\xff\xff\xff\xff(K\x01t(K\x01t\x89}tR.", id="a tensor that starts before"
        ),
        pytest.param(
            b"\x80\x02" + _TENSOR + b"K\x03(K\x02t(J\xff\xff\xff\xfft\x89}tR.", id="a tensor that runs backwards"
        ),
        pytest.param(b"\x80\x02" + _TENSOR + b"K\x00(K\x02K\x02t(K\x01t\x89}tR.", id="more sides than strides"),
    ],
)
def test_refuses_programs_that_make_no_sense(tmp_path, program):
    path = write_archive(tmp_path / "odd.pt", program, {"0": bytes(16)})
    with pytest.raises(ModelError, match=r"odd.pt: is no checkpoint, or is cut off or damaged; get the file again$"):
        Archive(path)


def test_refuses_an_attribute_nested_deep(tmp_path):
    named = b"\x80\x02c__builtin__\ngetattr\n(cultralytics.nn.modules.head\nDetect\n)" + b"\x85" * 200_000 + b"tR."
    with pytest.raises(ModelError, match=r"refused, it asks for builtins\.getattr, "):
        Archive(write_archive(tmp_path / "deep.pt", named))


def test_a_name_cannot_break_the_line(tmp_path):
    name = b"x\x1b[2J" + b"y" * 10_000
    path = write_archive(
        tmp_path / "loud.pt", b"\x80\x04\x8c\x02os" + b"X" + len(name).to_bytes(4, "little") + name + b"\x93."
    )
    with pytest.raises(ModelError) as refusal:
        Archive(path)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < len(str(path)) + 200


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(None, r"cannot be read \(No such file or directory\); give a .pt file", id="missing"),
        pytest.param(b"", "is no checkpoint, or is cut off or damaged", id="empty"),
        pytest.param(b"weights\n" * 1000, "is no checkpoint, or is cut off or damaged", id="a text"),
        pytest.param(pickle.dumps({"a": 1}), "is no checkpoint, or is cut off or damaged", id="a bare pickle"),
    ],
)
def test_refuses_what_is_no_archive(tmp_path, content, expected):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=expected):
        Archive(path)


def test_refuses_a_folder_and_another_zip(tmp_path):
    with pytest.raises(ModelError, match=r"cannot be read \(Is a directory\)"):
        Archive(tmp_path)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"")
    with pytest.raises(ModelError, match=r"photos.zip: is a zip archive but no checkpoint; give a .pt file"):
        Archive(tmp_path / "photos.zip")


def test_refuses_a_zip_bomb_unread(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(ModelError, match="damaged"):
        Archive(path)


def test_refuses_a_storage_of_another_size(tmp_path):
    path = write_archive(
        tmp_path / "short.pt", b"\x80\x02" + _TENSOR + b"K\x00(K\x04t(K\x01t\x89}tR.", {"0": bytes(12)}
    )
    with Archive(path) as archive, pytest.raises(ModelError, match="damaged"):
        archive.tensor(archive.root)


@pytest.fixture(scope="module")
def content():
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "planes": base,
        "a view": base.T[1:, ::2],
        "half": base.half(),
        "whole": torch.tensor(7),
        "spread": torch.tensor([1.5]).expand(3, 2),
        "learnt": torch.nn.Parameter(base[1]),
        "plain": [1, -2, 3.5, None, True, "text", (1, (2,), ()), {"a": {1: 2}}, 2**80],
    }


def test_reads_what_torch_saved(tmp_path, content):
    path = tmp_path / "good.pt"
    torch.save(content, path)
    with Archive(path) as archive:
        assert archive.root.pop("plain") == content["plain"]
        for name, ref in archive.root.items():
            torch.testing.assert_close(archive.tensor(ref), content[name].detach(), rtol=0, atol=0)


def test_stubs_remember_a_module_without_loading_it(tmp_path):
    path = tmp_path / "module.pt"
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.SiLU()), path)
    root = Archive(path).root
    assert str(root.type) == "torch.nn.modules.container.Sequential"
    first = root.state["_modules"]["0"]
    assert first.state["_parameters"]["weight"].shape == (4, 3, 1, 1)
    assert first.state["out_channels"] == 4


@pytest.fixture(scope="module")
def good(content):
    buffer = io.BytesIO()
    torch.save({key: content[key] for key in ("planes", "plain")}, buffer)
    return buffer.getvalue()


def read_all(path: Path) -> dict[str, object]:
    with Archive(path) as archive:
        root = archive.root
        return {k: archive.tensor(v).tolist() if isinstance(v, TensorRef) else v for k, v in root.items()}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damage") / "model.pt"


@settings(deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_is_refused(good, scratch, data):
    scratch.write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
    with pytest.raises(ModelError, match="damaged"):
        read_all(scratch)


@settings(deadline=None)
@given(st.data())
def test_a_flipped_bit_is_refused_or_harmless(good, scratch, data):
    damaged = bytearray(good)
    damaged[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    scratch.write_bytes(damaged)
    try:
        found = read_all(scratch)
    except ModelError:
        return
    scratch.write_bytes(good)
    assert found == read_all(scratch)
