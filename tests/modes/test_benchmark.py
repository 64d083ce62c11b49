"""The benchmark step: every format gets its row, or there is no record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.networks import META, lively_network
from tests.modes.test_export import QUICK, write_dataset
from tests.serve import finder
from yolocore.config import BenchmarkConfig
from yolocore.errors import DataError, ModelError, UsageError, YoloError
from yolocore.model.checkpoint import save_weights
from yolocore.modes.benchmark import _files, benchmark
from yolocore.modes.export import export
from yolocore.modes.inputs import BenchmarkInputs, ExportInputs, model_digest
from yolocore.records import BenchmarkRecord

FORMATS = ("onnx", "openvino")
CONFIG = BenchmarkConfig(images=12, warmup=1, conf=0.3, device="cpu")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkInputs:
    """A checkpoint and its exports, of fixed shape."""
    folder = tmp_path_factory.mktemp("benchmark")
    save_weights(folder / "lively.pt", lively_network(), META)
    model, data = str(folder / "lively.pt"), write_dataset(folder, images=3)
    fixed = QUICK.model_copy(update={"dynamic": False})
    for name in FORMATS:
        format = fixed.model_copy(update={"format": name})
        export(format, ExportInputs(model=model, data=data), folder / name)
    return BenchmarkInputs(model=model, data=data, exported=tuple(str(folder / name) for name in FORMATS))


def test_all_formats_are_measured(inputs: BenchmarkInputs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = benchmark(CONFIG, inputs, out)
    assert record == BenchmarkRecord.load(out)
    torch, onnx, openvino = record.rows
    assert (torch.format, onnx.format, openvino.format) == ("torch", "onnx", "openvino")
    assert torch.accuracy == pytest.approx(onnx.accuracy, abs=1e-6)
    assert torch.accuracy == pytest.approx(openvino.accuracy, abs=1e-6)
    assert onnx.megabytes == Path(inputs.exported[0], "model.onnx").stat().st_size / 1e6
    weights, graph = (Path(inputs.exported[1], "model.openvino", name) for name in ("model.bin", "model.xml"))
    assert openvino.megabytes == (weights.stat().st_size + graph.stat().st_size) / 1e6
    assert record.metrics["onnx/map50"] == onnx.accuracy["map50"]
    for name in ("torch", "onnx", "openvino"):
        timings = {key.split("/")[1]: value for key, value in record.timings.items() if key.startswith(f"{name}/")}
        assert 0 < timings["p50_ms"] <= timings["p95_ms"] <= timings["p99_ms"]
        assert timings["memory_mb"] > 0
    assert record.timings["threads"] >= 1
    assert sorted(path.name for path in out.iterdir()) == [
        "benchmark.csv",
        "benchmark.md",
        "benchmark.png",
        "record.json",
    ]
    assert "| onnx |" in (out / "benchmark.md").read_text()
    assert benchmark(CONFIG, inputs, out) == record, "the same again does nothing"


def test_without_an_export_one_is_made_for_the_occasion(inputs: BenchmarkInputs, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"formats": ("onnx",), "imgsz": 96})
    record = benchmark(config, inputs.model_copy(update={"exported": ()}), tmp_path / "out")
    assert [row.format for row in record.rows] == ["onnx"]
    assert "onnx" not in record.inputs
    assert not list((tmp_path / "out").rglob("*.onnx"))


def test_an_exported_model_alone(tmp_path: Path) -> None:
    """The finder is right about every picture of its data."""
    model, data = finder.write_network(tmp_path / "finder.onnx"), finder.write_dataset(tmp_path / "data")
    record = benchmark(CONFIG, BenchmarkInputs(model=str(model), data=str(data)), tmp_path / "out")
    assert record.rows[0].accuracy["map50_95"] > 0.99
    assert "torch" not in record.versions


def test_an_exported_model_beside_its_records(inputs: BenchmarkInputs, tmp_path: Path) -> None:
    """As in a pipeline: the network out of the export step's own folder."""
    network = inputs.model_copy(update={"model": str(Path(inputs.exported[0]) / "model.onnx")})
    record = benchmark(CONFIG, network, tmp_path / "out")
    assert [row.format for row in record.rows] == ["onnx", "openvino"]
    assert "torch" not in record.versions


def test_a_gpu_is_not_asked_of_a_format_that_has_none(inputs: BenchmarkInputs) -> None:
    config = CONFIG.model_copy(update={"device": "cuda:0"})
    assert list(_files(config, inputs, model_digest(inputs.model))) == ["torch", "onnx"]


@pytest.mark.parametrize(
    ("settings", "change", "error", "message"),
    [
        pytest.param(
            {"formats": ("torch", "onnx")},
            {"model": "{tmp}/finder.onnx", "exported": ()},
            UsageError,
            "is an exported model, and torch is not there",
            id="no torch form",
        ),
        pytest.param({}, {"model": "{tmp}/finder.onnx"}, UsageError, "is not of model=", id="another export's network"),
        pytest.param({}, {"model": "{tmp}/other.pt"}, UsageError, "is not of model=", id="another model's export"),
        pytest.param({}, {"model": "triton://localhost/x"}, UsageError, "is served", id="served"),
        pytest.param({}, {"model": "none.pt"}, ModelError, r"none\.pt: no such file", id="no model"),
        pytest.param({}, {"exported": ("{onnx}", "{onnx}")}, UsageError, "second one as onnx", id="one format twice"),
        pytest.param({}, {"exported": ("{tmp}",)}, DataError, "holds no record.json", id="no export"),
        pytest.param({}, {"data": "none"}, DataError, "data=none: no such file", id="no data"),
        pytest.param({"split": "exam"}, {}, DataError, "no split 'exam'", id="no split"),
        pytest.param({"half": True}, {}, UsageError, "half=True", id="half precision on a CPU"),
        pytest.param(
            {"imgsz": 128},
            {},
            UsageError,
            "onnx runs at 64, openvino runs at 64; export the model",
            id="a fixed other size",
        ),
        pytest.param(
            {}, {"data": "{tmp}/data/dataset.yaml"}, DataError, "has 2 classes, the model 3", id="other classes"
        ),
    ],
)
def test_refused(
    inputs: BenchmarkInputs,
    tmp_path: Path,
    settings: dict[str, object],
    change: dict[str, str | tuple[str, ...]],
    error: type[YoloError],
    message: str,
) -> None:
    finder.write_network(tmp_path / "finder.onnx")
    finder.write_dataset(tmp_path / "data", images=2)
    save_weights(tmp_path / "other.pt", lively_network(), META.model_copy(update={"imgsz": 96}))

    def filled(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return tuple(map(filled, value)) if isinstance(value, tuple) else value.format(**places)

    places = {"tmp": tmp_path, "onnx": inputs.exported[0]}
    changed = inputs.model_copy(update={key: filled(value) for key, value in change.items()})
    with pytest.raises(error, match=message) as refused:
        benchmark(CONFIG.model_copy(update=settings), changed, tmp_path / "out" / "benchmark")
    assert "\n" not in str(refused.value)
    assert not [path for path in tmp_path.glob("out/*") if path.suffix != ".lock"]
