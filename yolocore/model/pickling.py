"""Writing torch's checkpoint files that name classes which are not here: the reverse of `archive`.

The pickler of the standard library writes only names that it can import. So the few instructions that a
checkpoint needs are written here, in protocol 2, the one that torch writes; `pickletools` documents them.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yolocore.model.archive import STORAGES, Global, Stub


@dataclass(frozen=True, eq=False)
class _Call:
    """What the reader shall make by calling something."""

    function: Global
    arguments: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Reference:
    """To a storage beside the pickle."""

    names: tuple[Any, ...]


def write_archive(root: Any) -> bytes:
    """A checkpoint that holds `root`, of scalars, plain containers, `Stub`, tensors and parameters.

    One `Stub` in several places stays one object. Equal content gives equal bytes. Raises TypeError for
    values of any other type.
    """
    program = _Program()
    program.write(root)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:

        def add(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)  # of the zip format's first date

        add("data.pkl", bytes(program.code) + b".")
        add("byteorder", sys.byteorder.encode())
        for key, tensor in enumerate(program.tensors):
            add(f"data/{key}", tensor.view(-1).view(torch.uint8).numpy().tobytes())
        add("version", b"3\n")
    return buffer.getvalue()


class _Program:
    """A pickle in the making. `tensors` are those that it refers to by their number, contiguous and on the CPU."""

    def __init__(self) -> None:
        self.code = bytearray(b"\x80\x02")
        self.tensors: list[Tensor] = []
        self._memo: dict[object, int] = {}

    def write(self, value: Any) -> None:
        match value:
            case None:
                self.code += b"N"
            case bool():
                self.code += b"\x88" if value else b"\x89"
            case int():
                self.code += b"J" + struct.pack("<i", value)
            case float():
                self.code += b"G" + struct.pack(">d", value)
            case str():
                self._once(value, b"X" + struct.pack("<I", len(value.encode())) + value.encode())
            case Global():  # before tuples, for it is one
                self._once(value, f"c{value.module}\n{value.name}\n".encode())
            case tuple():
                self._sequence(b"(", value, b"t")
            case list():
                self._sequence(b"](", value, b"e")
            case set():
                self.write(_Call(Global("__builtin__", "set"), (sorted(value),)))
            case dict():
                if isinstance(value, OrderedDict):
                    self.write(_Call(Global("collections", "OrderedDict"), ()))
                else:
                    self.code += b"}"
                self._sequence(b"(", [part for item in value.items() for part in item], b"u")
            case Stub():
                if id(value) not in self._memo:
                    self.write(value.type)
                    self._once(id(value), b")\x81")
                    self.write(value.state)
                    self.code += b"b"
                else:
                    self._once(id(value), b"")
            case _Call():
                self.write(value.function)
                self.write(value.arguments)
                self.code += b"R"
            case _Reference():
                self.write(value.names)
                self.code += b"Q"
            case nn.Parameter():
                arguments = (value.detach(), value.requires_grad, OrderedDict[str, object]())
                self.write(_Call(Global("torch._utils", "_rebuild_parameter"), arguments))
            case Tensor():
                self._tensor(value)
            case _:
                raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")

    def _once(self, identity: object, code: bytes) -> None:
        """The value that `code` makes, remembered, or the one remembered."""
        if identity in self._memo:
            self.code += b"j" + struct.pack("<I", self._memo[identity])
        else:
            self._memo[identity] = len(self._memo)
            self.code += code + b"r" + struct.pack("<I", self._memo[identity])

    def _sequence(self, start: bytes, items: Any, end: bytes) -> None:
        self.code += start
        for item in items:
            self.write(item)
        self.code += end

    def _tensor(self, tensor: Tensor) -> None:
        # A fresh one, for strides along sides of one element tell in which layout the tensor was computed.
        tensor = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        storage = next(name for name, dtype in STORAGES.items() if dtype == tensor.dtype)
        reference = _Reference(("storage", Global("torch", storage), str(len(self.tensors)), "cpu", tensor.numel()))
        self.tensors.append(tensor)
        arguments = (reference, 0, tuple(tensor.shape), tensor.stride(), False, OrderedDict[str, object]())
        self.write(_Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments))
