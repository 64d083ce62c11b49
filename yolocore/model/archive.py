"""Reading torch's checkpoint files without running anything that is in them.

Such a file is a zip archive of a pickle (a program for a small stack machine) and of raw storages. The
pickle is run here by a machine of our own that has no instruction to import or to call: where a program
names a class, a `Stub` remembers the name; where it calls something, the few constructors of plain values
in `_CONSTRUCTORS` are known and anything else is refused. Tensors stay references until somebody who
knows which shapes to expect asks for them, and memory is bounded by the file's size throughout.

The instructions are those of the standard library's `pickletools`, which documents each of them.
"""

from __future__ import annotations

import contextlib
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from yolocore.errors import ModelError


class Global(NamedTuple):
    """The name of a class or function. What it names is never loaded."""

    module: str
    name: str

    def __str__(self) -> str:
        # A hostile file chooses the name: it must not break or flood the line that reports it.
        return ascii(f"{self.module}.{self.name}")[1:-1][:100]


@dataclass(eq=False)
class Stub:
    """An object of a class that is not loaded: the class's name and the object's attributes."""

    type: Global
    state: Any = None


@dataclass(frozen=True, eq=False)
class Storage:
    """A flat array in the archive, of `count` elements."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor in the archive that has not been read. Offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Archive:
    """An open checkpoint. `root` is what was saved, of plain containers, `Stub` and `TensorRef`."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError for a file that is missing, no checkpoint, cut off, or asks for more than data."""
        self.path = path
        with self._damage_reported():
            self._zip = zipfile.ZipFile(path)
            pickles = [name for name in self._zip.namelist() if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ModelError(f"{path}: is a zip archive but no checkpoint; give a .pt file")
            self._folder = pickles[0].removesuffix("data.pkl")
            self.root = _run(self._read(pickles[0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def tensor(self, ref: TensorRef) -> Tensor:
        """The tensor, as a view of its storage. Raises ModelError where the file is damaged."""
        with self._damage_reported():
            data = bytearray(self._read(f"{self._folder}data/{ref.storage.key}"))
            if len(data) != ref.storage.count * ref.storage.dtype.itemsize:
                raise ValueError("a storage of another size than announced")
            return torch.frombuffer(data, dtype=ref.storage.dtype).as_strided(ref.shape, ref.strides, ref.offset)

    def _read(self, name: str) -> bytes:
        entry = self._zip.getinfo(name)
        # torch compresses nothing, so what claims to be larger than the file is a bomb or damaged.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self.path.stat().st_size:
            raise ValueError("an entry larger than the file")
        return self._zip.read(entry)

    @contextlib.contextmanager
    def _damage_reported(self) -> Iterator[None]:
        try:
            yield
        except ModelError:
            raise
        except _ForbiddenError as error:
            raise ModelError(
                f"{self.path}: refused, it asks for {error}, which no checkpoint needs; do not use it"
            ) from None
        except OSError as error:
            raise ModelError(f"{self.path}: cannot be read ({error.strerror}); give a .pt file") from None
        except Exception as error:  # damaged bytes go wrong in every way that zipfile, pickletools and torch know
            raise ModelError(f"{self.path}: is no checkpoint, or is cut off or damaged; get the file again") from error


class _ForbiddenError(Exception):
    """The program asks for something that is more than data."""


# What a program may name. Classes become stubs; storages tell a dtype; the rest are constructors.
_STUB_MODULES = ("ultralytics.", "torch.nn.modules.", "torchvision.transforms.")
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# Looked up by class and attribute in checkpoints of the other tasks, and never needed here.
_ATTRIBUTES = {("Detect", "forward"), ("InterpolationMode", "BILINEAR")}


def _ordered_dict() -> dict[Any, Any]:
    return {}


def _rebuild_tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
    if not isinstance(storage, Storage) or len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError("a tensor without form")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError("a tensor that reaches beyond its storage")
    return TensorRef(storage, offset, shape, strides)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _getattr(owner: Any, name: Any) -> Stub:
    if not isinstance(owner, Global) or not isinstance(name, str) or (owner.name, name) not in _ATTRIBUTES:
        raise _ForbiddenError(Global("builtins", "getattr"))
    return Stub(owner, name)


_CONSTRUCTORS: dict[Global, Callable[..., Any]] = {
    Global("collections", "OrderedDict"): _ordered_dict,
    Global("torch", "Size"): tuple,
    Global("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    Global("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    Global("builtins", "set"): list,
    Global("builtins", "getattr"): _getattr,
}
# Values of settings, metrics and transforms that trainers left in their files: remembered, not built.
_INERT = {
    # In a checkpoint of a training that has not ended: its settings, and where its loss was computed.
    Global("ultralytics.utils", "IterableSimpleNamespace"),
    Global("torch", "device"),
    Global("numpy", "dtype"),
    Global("numpy.core.multiarray", "scalar"),
    Global("numpy._core.multiarray", "scalar"),
    Global("_codecs", "encode"),
    Global("pathlib", "PosixPath"),
    Global("pathlib", "WindowsPath"),
    Global("torchvision.transforms.functional", "InterpolationMode"),
}


# Only names are looked up in tables: hashing a tuple nested a million deep would overflow the interpreter's own stack.
def _named(module: Any, name: Any) -> Global:
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name that is no text")
    named = Global("builtins" if module == "__builtin__" else module, name)  # as protocol 2 calls it
    storage = module == "torch" and name in STORAGES
    if not (module.startswith(_STUB_MODULES) or storage or named in _CONSTRUCTORS or named in _INERT):
        raise _ForbiddenError(named)
    return named


def _call(function: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(function, Global):
        raise ValueError("a call of a value")
    if function in _CONSTRUCTORS:
        return _CONSTRUCTORS[function](*arguments)
    if function in _INERT:
        return Stub(function, arguments)
    raise _ForbiddenError(function)


def _new(cls: Any) -> Stub:
    if not isinstance(cls, Global):
        raise ValueError("an object of a value")
    if not cls.module.startswith(_STUB_MODULES):
        raise _ForbiddenError(cls)
    return Stub(cls)


def _build(target: Any, state: Any) -> None:
    if isinstance(target, Stub):
        target.state = state
    elif not isinstance(target, dict):  # a dictionary's attributes (a state dict's _metadata) tell nothing
        raise ValueError("attributes of a plain value")


def _storage(persistent_id: Any) -> Storage:
    kind, cls, key, _location, count = persistent_id
    if kind != "storage" or count < 0:
        raise ValueError("a reference to something else than a storage")
    return Storage(key, STORAGES[cls.name], count)


def _set_items(target: Any, flat: list[Any]) -> None:
    if not isinstance(target, dict):
        raise ValueError("items for something else than a dictionary")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        if not isinstance(key, str | int | float | None):  # hashed too, as names are
            raise ValueError("a key that is no scalar")
        target[key] = value


def _run(program: bytes) -> Any:
    """Run a pickle and return what it leaves on the stack."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    argument: Any
    for instruction, argument, _ in pickletools.genops(program):
        match instruction.name:
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINFLOAT" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINBYTES" | "SHORT_BINBYTES":
                stack.append(argument)
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_call(stack.pop(), arguments))
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(instruction.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction.name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                item = stack[-2:]
                del stack[-2:]
                _set_items(stack[-1], item)
            case "SETITEMS":
                items = pop_to_mark()
                _set_items(stack[-1], items)
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "APPEND":
                value = stack.pop()
                stack[-1].append(value)
            case "APPENDS" | "ADDITEMS":
                items = pop_to_mark()
                stack[-1].extend(items)
            case "GLOBAL":
                stack.append(_named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name = stack.pop()
                stack.append(_named(stack.pop(), name))
            case "NEWOBJ":
                stack.pop()  # arguments for a constructor that is not there
                stack.append(_new(stack.pop()))
            case "BUILD":
                state = stack.pop()
                _build(stack[-1], state)
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case other:
                raise ValueError(f"instruction {other}")
    raise ValueError("no end")
