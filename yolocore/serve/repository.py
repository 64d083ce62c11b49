"""The repository of served models: immutable entries named by digest, and the names that point to them.

    serving/
        detector-3f2a…/     entry: 1/model.onnx, config.pbtxt, labels.txt. Written once, never changed
        decode-91c0…/       entry that turns encoded images into pixels, shared by all
        detector/           what clients ask for: an ensemble of one step, the entry that serves
        detector-jpeg/      decode, then detector

An entry's digest covers every byte in it (its configuration leaves out the name, which Triton takes from
the folder). The name `detector` is one small file that says which entry serves and which did before; it is
replaced by a rename, and `detector-jpeg` follows because it goes through `detector`. So there is one
pointer, and a crash leaves the old one or the new one; `point` repairs what is derived from it.

Entries load unchanged in Triton's C++ onnxruntime backend, which refuses what differs from the ONNX model
in name, datatype or dimensions: all of them are read from the model.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolocore.errors import ModelError, StorageError
from yolocore.runtimes.served import OUTPUTS, ServingInfo
from yolocore.runtimes.triton import DIGEST, INFO
from yolocore.store import exclusive, replace_folder, short, storage_errors, tree_digest, write_atomic

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

MAX_BATCH = 8  # of waiting requests of one image size; more would let the first of them wait for little gain
PREVIOUS = "previous"  # parameter of a name's configuration: digest of the entry that served before
_DECODER = Path(__file__).parent / "inside" / "decode.py"
_CONFIG = "config.pbtxt"
_DATATYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32", "tensor(int32)": "TYPE_INT32"}


@dataclass(frozen=True)
class Pointer:
    """What a name serves. previous: digest of what it served before, empty the first time."""

    digest: str
    previous: str


@dataclass(frozen=True)
class Entry:
    """A served model as it lies in the repository. model: the file of its graph."""

    digest: str
    model: Path
    info: ServingInfo


@contextlib.contextmanager
def locked(repository: Path, name: str) -> Iterator[None]:
    """Hold the right to change what is served under a name. Raises UsageError when another process has it."""
    with storage_errors(repository, "repository="), exclusive(repository / name):
        yield


def entry_name(name: str, digest: str) -> str:
    return f"{name}-{short(digest)}"


def write_entry(repository: Path, name: str, model: Path, info: ServingInfo) -> str:
    """Write the entry of an exported serving model and return its digest; nothing happens if it stands.

    Raises ModelError for a file that is no such model, StorageError when it cannot be written.
    """
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(backend="onnxruntime", max_batch_size=MAX_BATCH)
    _describe_tensors(config, model)
    config.version_policy.specific.versions.append(1)
    config.dynamic_batching.SetInParent()  # gather what waits already; delay nothing
    config.instance_group.add(count=1, kind="KIND_AUTO")  # a GPU where there is one; naming it fails elsewhere
    warmup = config.model_warmup.add(name="one image", batch_size=1).inputs["image"]
    warmup.data_type = config.input[0].data_type
    warmup.dims.extend([info.meta.imgsz, info.meta.imgsz, 3])
    warmup.zero_data = True
    config.parameters[INFO].string_value = info.model_dump_json()

    with _entry(repository, name) as folder:
        (folder / "1").mkdir()
        shutil.copyfile(model, folder / "1" / "model.onnx")
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in info.meta.names), encoding="utf-8")
        (folder / _CONFIG).write_text(_text(config), encoding="utf-8")
        return _publish(folder, repository, name)


def remove_entry(repository: Path, name: str, digest: str) -> None:
    """Take an entry away that serves under no name. The caller has unloaded it."""
    shutil.rmtree(repository / entry_name(name, digest), ignore_errors=True)


def point(repository: Path, name: str, pointer: Pointer) -> None:
    """Let a name serve an entry: the one rename that decides what a server that starts from now on serves.

    Raises ModelError when there is no such entry.
    """
    entry = entry_name(name, pointer.digest)
    target = _read_config(repository / entry)
    if target is None:
        raise ModelError(f"{repository}: holds no entry {entry}; deploy that model again")
    decoder = _write_decoder(repository)
    with storage_errors(repository, "repository="):
        _write_name(repository / f"{name}-jpeg", _decoding_ensemble(target, decoder, name))
        _write_name(repository / name, _pointing_ensemble(target, entry, pointer))


def pointer_of(repository: Path, name: str) -> Pointer | None:
    """What a name serves, None for a name that serves nothing yet."""
    config = _read_config(repository / name)
    if config is None:
        return None
    return Pointer(config.parameters[DIGEST].string_value, config.parameters[PREVIOUS].string_value)


def live_entry(repository: Path, name: str) -> Entry | None:
    """The entry that a name serves, None for a name that serves nothing yet.

    Raises ModelError where the name points to an entry that is no longer there.
    """
    pointer = pointer_of(repository, name)
    if pointer is None:
        return None
    folder = repository / entry_name(name, pointer.digest)
    config, model = _read_config(folder), folder / "1" / "model.onnx"
    if config is None or not model.is_file():
        raise ModelError(f"{repository}: {name} serves {folder.name}, which is not there; deploy a model again")
    return Entry(pointer.digest, model, ServingInfo.model_validate_json(config.parameters[INFO].string_value))


def unpoint(repository: Path, name: str) -> None:
    """Let a name serve nothing, as before its first deployment."""
    for folder in (repository / name, repository / f"{name}-jpeg"):
        shutil.rmtree(folder, ignore_errors=True)


def repair(repository: Path, name: str) -> None:
    """Make again what is derived from a name's pointer, in case a crash came between the two."""
    pointer = pointer_of(repository, name)
    if pointer is not None:
        point(repository, name, pointer)


def served_names(repository: Path) -> list[str]:
    """The names that point to an entry, sorted."""
    configs = ((folder.name, _read_config(folder)) for folder in sorted(repository.glob("[!.]*/")))
    return [name for name, config in configs if config is not None and DIGEST in config.parameters]


def _describe_tensors(config: ModelConfig, model: Path) -> None:
    """Inputs and outputs as the ONNX model has them, without the batch dimension."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is only looked at
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{model}: cannot be loaded ({reason}); export the model again") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for tensor, described in [*((t, config.input.add()) for t in inputs), *((t, config.output.add()) for t in outputs)]:
        if tensor.type not in _DATATYPES or not tensor.shape or isinstance(tensor.shape[0], int):
            raise ModelError(f"{model}: tensor {tensor.name!r} has no batch dimension or another type than serving has")
        described.name = tensor.name
        described.data_type = _DATATYPES[tensor.type]
        dims = [size if isinstance(size, int) else -1 for size in tensor.shape[1:]]
        described.dims.extend(dims or [1])
        if not dims:  # one number an image: Triton wants a dimension, the model has none
            described.reshape.SetInParent()
    if [t.name for t in inputs] != ["image"] or tuple(t.name for t in outputs) != OUTPUTS:
        raise ModelError(f"{model}: is no serving model (image → {', '.join(OUTPUTS)}); give the folder of an export")


def _write_decoder(repository: Path) -> str:
    """Name of the entry that decodes images, written if it isn't there."""
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(backend="python")  # without batching: images decode to different shapes
    config.input.add(name="encoded", data_type="TYPE_STRING", dims=[1])
    config.output.add(name="image", data_type="TYPE_UINT8", dims=[1, -1, -1, 3])
    config.instance_group.add(count=1, kind="KIND_CPU")
    with _entry(repository, "decode") as folder:
        (folder / "1").mkdir()
        shutil.copyfile(_DECODER, folder / "1" / "model.py")
        (folder / _CONFIG).write_text(_text(config), encoding="utf-8")
        return entry_name("decode", _publish(folder, repository, "decode"))


def _pointing_ensemble(target: ModelConfig, entry: str, pointer: Pointer) -> ModelConfig:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(platform="ensemble", max_batch_size=target.max_batch_size)
    config.input.extend(target.input)
    config.output.extend(target.output)
    for output in config.output:
        output.ClearField("reshape")  # done by the entry
    _add_step(config, entry, ["image"], OUTPUTS)
    config.parameters[INFO].string_value = target.parameters[INFO].string_value
    config.parameters[DIGEST].string_value = pointer.digest
    config.parameters[PREVIOUS].string_value = pointer.previous
    return config


def _decoding_ensemble(target: ModelConfig, decoder: str, name: str) -> ModelConfig:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    config = ModelConfig(platform="ensemble")
    config.input.add(name="encoded", data_type="TYPE_STRING", dims=[1])
    for output in target.output:
        config.output.add(name=output.name, data_type=output.data_type, dims=[1, *output.dims])
    _add_step(config, decoder, ["encoded"], ["image"])
    _add_step(config, name, ["image"], OUTPUTS)
    return config


def _add_step(config: ModelConfig, model: str, inputs: Any, outputs: Any) -> None:
    step = config.ensemble_scheduling.step.add(model_name=model, model_version=-1)
    step.input_map.update({tensor: tensor for tensor in inputs})
    step.output_map.update({tensor: tensor for tensor in outputs})


def _write_name(folder: Path, config: ModelConfig) -> None:
    (folder / "1").mkdir(parents=True, exist_ok=True)  # an ensemble's version is an empty folder
    if _read_config(folder) != config:
        write_atomic(folder / _CONFIG, _text(config))


def _text(config: ModelConfig) -> str:
    from google.protobuf import text_format

    return text_format.MessageToString(config, as_utf8=True)


def _read_config(folder: Path) -> ModelConfig | None:
    """Raises StorageError for a configuration that somebody has damaged."""
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    path = folder / _CONFIG
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: is damaged ({error}); restore it, or remove the folder and deploy again") from None


@contextlib.contextmanager
def _entry(repository: Path, name: str) -> Iterator[Path]:
    """A folder to prepare an entry in: in the repository, so that it can be renamed, and hidden from servers."""
    folder = repository / f".{name}.partial"
    with storage_errors(repository, "repository="):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(prepared: Path, repository: Path, name: str) -> str:
    digest = tree_digest(prepared)
    entry = repository / entry_name(name, digest)
    # Compared file by file, because servers leave bytecode beside a decoder that they have run.
    files = [path.relative_to(prepared) for path in prepared.rglob("*") if path.is_file()]
    if not all(
        (entry / file).is_file() and tree_digest(entry / file) == tree_digest(prepared / file) for file in files
    ):
        replace_folder(prepared, entry)
    return digest
