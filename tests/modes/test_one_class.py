"""A model that was trained with single_cls passes the chain on data of several classes, all objects counting as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.networks import lively_network
from tests.listeners import Notes
from tests.modes.test_export import QUICK, write_dataset
from yolocore.config import BenchmarkConfig, DeployConfig, GateConfig, ValConfig
from yolocore.meta import ONE_CLASS, ModelMeta
from yolocore.model.checkpoint import save_weights
from yolocore.modes.benchmark import benchmark
from yolocore.modes.deploy import deploy
from yolocore.modes.export import export
from yolocore.modes.gate import gate
from yolocore.modes.inputs import BenchmarkInputs, DeployInputs, ExportInputs, GateInputs, ValInputs
from yolocore.modes.val import val

META = ModelMeta(names=ONE_CLASS, imgsz=64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.pt, its export, and data whose three pictures have three classes."""
    folder = tmp_path_factory.mktemp("one class")
    data = write_dataset(folder, images=3)
    for number in range(3):
        (folder / "labels" / "val" / f"{number}.txt").write_text(f"{number} 0.5 0.5 0.2 0.2\n")
    save_weights(folder / "model.pt", lively_network(meta=META), META)
    export(QUICK, ExportInputs(model=str(folder / "model.pt"), data=data), folder / "export")
    return folder


def test_val(made: Path, tmp_path: Path) -> None:
    notes = Notes()
    inputs = ValInputs(model=str(made / "model.pt"), data=str(made / "dataset.yaml"))
    record = val(ValConfig(device="cpu"), inputs, tmp_path / "out", notes)
    assert record.per_class.keys() == set(ONE_CLASS)
    assert record.per_class["item"]["objects"] == record.metrics["objects"] == 3
    assert notes.texts == ["the model was trained with single_cls: all 3 classes of the dataset count as one"]
    some = val(ValConfig(device="cpu", classes=(0, 2)), inputs, tmp_path / "some")
    assert some.metrics["objects"] == 2


def test_benchmark(made: Path, tmp_path: Path) -> None:
    inputs = BenchmarkInputs(model=str(made / "export" / "model.onnx"), data=str(made / "dataset.yaml"))
    config = BenchmarkConfig(images=4, warmup=1, device="cpu")
    assert "map50" in benchmark(config, inputs, tmp_path / "out").rows[0].accuracy


def test_gate_and_deploy(made: Path, tmp_path: Path, database: Path, serving) -> None:
    given = {"exported": str(made / "export"), "data": str(made / "dataset.yaml")}
    repository = str(serving.repository)
    config = GateConfig(name="one-class", device="cpu")
    first = gate(config, GateInputs(**given, repository=repository), tmp_path / "first")
    assert first.champion == "" and first.per_class["item"]["objects"] == 3
    place = {"host": serving.endpoint.host, "port": serving.endpoint.port}
    served = deploy(
        DeployConfig(name="one-class", **place), DeployInputs(**given, repository=repository), tmp_path / "out"
    )
    assert served.metrics["map50_95_drop"] == 0
    again = gate(config, GateInputs(**given, repository=repository), tmp_path / "again")
    assert again.champion == served.served_digest == again.challenger
