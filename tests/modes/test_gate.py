"""The gate: what passes, what does not, and what is said of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from tests.listeners import Notes
from tests.serve.finder import INFO, META, write_dataset, write_export
from yolocore.config import BenchmarkConfig, GateConfig
from yolocore.errors import DataError, ModelError, RefusedError, ServiceError, UsageError, YoloError
from yolocore.meta import ModelMeta
from yolocore.modes.benchmark import benchmark
from yolocore.modes.gate import gate
from yolocore.modes.inputs import BenchmarkInputs, GateInputs
from yolocore.records import FILE_NAME, ExportRecord, GateRecord
from yolocore.serve import repository as models


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports that find all, all a little worse, red as well as ever; a data set, and a benchmark of the first."""
    folder = tmp_path_factory.mktemp("material")
    write_dataset(folder / "data", images=30)
    write_export(folder / "first")
    write_export(folder / "second", shift=0.01)
    write_export(folder / "worse", shift=2.0)
    write_export(folder / "half-blind", green_shift=2.0)
    write_export(folder / "strict", info=INFO.model_copy(update={"conf": 0.5, "iou": 0.6, "max_det": 3}))
    model, data = str(folder / "first" / "model.onnx"), str(folder / "data" / "dataset.yaml")
    config = BenchmarkConfig(images=4, warmup=1, device="cpu")
    benchmark(config, BenchmarkInputs(model=model, data=data), folder / "benchmark")

    shutil.copytree(folder / "first", folder / "pose")
    record = ExportRecord.load(folder / "first").model_copy(update={"task": "pose"})
    (folder / "pose" / FILE_NAME).write_text(record.to_json())
    shutil.copytree(folder / "first", folder / "broken")
    (folder / "broken" / "serving.onnx").write_bytes(b"nonsense")
    shutil.copytree(folder / "first", folder / "other")
    (folder / "other" / "model.onnx").write_bytes(b"another network")
    return folder


class Site:
    """A repository of served models, and gates in front of it."""

    def __init__(self, folder: Path, material: Path) -> None:
        self.folder, self.material = folder, material
        self.out, self.refused = folder / "out", folder / "out.refused"
        self.listener = Notes()
        self.notes = self.listener.texts

    def serve(self, export: str) -> str:
        """Let the repository's name serve an export; returns the entry's digest."""
        record = ExportRecord.load(self.material / export).config
        info = INFO.model_copy(update={key: record[key] for key in ("conf", "iou", "max_det")})
        repository = self.folder / "serving"
        digest = models.write_entry(repository, "detector", self.material / export / "serving.onnx", info)
        models.point(repository, "detector", models.Pointer(digest, ""))
        return digest

    def gate(self, export: str, given: dict[str, str] | None = None, **settings: object) -> GateRecord:
        """given: more inputs; those of them that the material has stand for paths in it."""
        inputs = {"exported": export, "data": "data/dataset.yaml", **(given or {})}
        places = {k: str(self.material / v) if (self.material / v).exists() else v for k, v in inputs.items()}
        requested = GateInputs(**{"repository": str(self.folder / "serving"), **places})
        return gate(GateConfig(**{"device": "cpu", **settings}), requested, self.out, self.listener)  # type: ignore[arg-type]

    def line(self, error: pytest.ExceptionInfo[RefusedError]) -> str:
        text = str(error.value)
        assert "\n" not in text
        return text.replace(str(self.material), "MATERIAL").replace(str(self.folder), "SITE")


@pytest.fixture
def site(tmp_path: Path, material: Path) -> Site:
    return Site(tmp_path, material)


def test_an_equal_challenger_passes(site: Site) -> None:
    champion = site.serve("first")
    record = site.gate("second", {"benchmark": "benchmark"})
    assert record == GateRecord.load(site.out)
    assert record.champion == champion != record.challenger
    assert -0.01 < record.metrics["gain_low"] <= record.metrics["gain"] <= record.metrics["gain_high"] < 0.01
    assert record.metrics["champion_map50_95"] == 1
    assert {key: record.metrics[key] for key in ("conf", "iou", "max_det")} == {"conf": 0.25, "iou": 0.7, "max_det": 5}
    assert set(record.inputs) == {"serving", "data", "champion", "benchmark"}
    assert list(record.per_class) == ["red", "green"]
    assert record.per_class["red"]["objects"] == 15
    assert record.timings["latency_p50_ms"] <= record.timings["latency_p95_ms"]
    assert record.views == ("gate.md", "gate.png")
    assert cv2.imread(str(site.out / "gate.png")).std() > 1
    assert "| all classes | 30 | 1.0000 | 1.0000 | +0.0000 |" in (site.out / "gate.md").read_text()
    assert any("a gain of" in note for note in site.notes)


def test_the_same_again_does_nothing_until_another_champion_serves(site: Site) -> None:
    site.serve("worse")
    record = site.gate("first")
    assert record.metrics["gain_low"] > 0.2
    assert site.gate("first") == record
    champion = site.serve("first")
    assert site.gate("first").champion == champion


def test_the_champion_itself_passes(site: Site) -> None:
    """Even where a gain is asked for: it serves, and to deploy it again changes nothing."""
    champion = site.serve("first")
    record = site.gate("first", min_map_gain=0.1)
    assert record.challenger == record.champion == champion
    assert {record.metrics[name] for name in ("gain", "gain_low", "gain_high")} == {0}
    assert any("is this very model" in note for note in site.notes)


def test_the_first_model_has_no_champion(site: Site) -> None:
    record = site.gate("worse")
    assert record.champion == ""
    assert "champion" not in record.inputs and "gain" not in record.metrics
    assert record.views == ("gate.md",)
    assert (site.out / "gate.md").read_text().splitlines()[0] == "|  | objects | mAP50-95 |"
    assert any("has no champion yet" in note for note in site.notes)


def test_a_worse_challenger_is_refused_with_every_reason(site: Site) -> None:
    site.serve("first")
    passed = site.gate("second")
    with pytest.raises(RefusedError) as refused:
        site.gate("worse", min_map=0.9, max_megabytes=0.001)
    assert site.line(refused) == WORSE.format(megabytes=(site.material / "worse" / "serving.onnx").stat().st_size / 1e6)
    assert GateRecord.load(site.out) == passed, "the earlier result stays"
    assert sorted(path.name for path in site.refused.iterdir()) == ["gate.md", "gate.png"]
    assert sorted(path.name for path in site.folder.glob(".out*")) == [".out.lock"]
    site.gate("first")
    assert not site.refused.exists(), "what was refused once is of no interest beside a model that passed"


WORSE = (
    "MATERIAL/worse is refused: mAP50-95 is 0.1208 and the champion's 1.0000, a gain of -0.8792 (95 % interval -0.9183 "
    "to -0.8263), not surely above min_map_gain=-0.01; class 'red' loses at least 0.7957 of 1.0000, more than "
    "max_class_drop=0.05; class 'green' loses at least 0.8124 of 1.0000, more than max_class_drop=0.05; mAP50-95 is "
    "0.1208, below min_map=0.9; it has {megabytes:.4g} MB, more than max_megabytes=0.001; see SITE/out.refused"
)


def test_one_class_may_not_pay_for_the_others(site: Site) -> None:
    site.serve("first")
    settings = {"min_map_gain": -1.0}
    with pytest.raises(RefusedError) as refused:
        site.gate("half-blind", **settings, class_objects=15)
    assert site.line(refused) == ONE_CLASS
    with pytest.raises(RefusedError) as refused:
        site.gate("half-blind", **settings, class_objects=16)
    assert site.line(refused) == ONE_CLASS_OF_FEW
    assert site.gate("half-blind", **settings, max_class_drop=1.0).per_class["red"]["gain"] == 0


ONE_CLASS = (
    "MATERIAL/half-blind is refused: class 'green' loses 0.8887 of 1.0000, more than max_class_drop=0.05; "
    "see SITE/out.refused"
)
ONE_CLASS_OF_FEW = ONE_CLASS.replace("0.8887", "at least 0.8124")


def test_a_class_of_one_object_is_no_evidence(site: Site, tmp_path: Path) -> None:
    """Its loss may be chance: many resamples don't even have it."""
    shutil.copytree(site.material / "data", tmp_path / "data")
    for number in range(3, 30, 2):
        (tmp_path / "data" / "labels" / "val" / f"{number}.txt").write_text("")
    site.serve("first")
    data = {"data": str(tmp_path / "data" / "dataset.yaml")}
    record = site.gate("half-blind", data, min_map_gain=-1.0)
    assert record.per_class["green"]["gain"] < -0.2
    assert record.per_class["green"]["gain_high"] == 0


def test_both_are_held_to_the_stricter_limits(site: Site) -> None:
    site.serve("strict")
    record = site.gate("second")
    assert {key: record.metrics[key] for key in ("conf", "iou", "max_det")} == {"conf": 0.5, "iou": 0.6, "max_det": 3}
    assert any("stricter limits: conf=0.5, iou=0.6, max_det=3" in note for note in site.notes)


def test_an_export_is_the_champion_that_is_given(site: Site) -> None:
    site.serve("first")
    record = site.gate("second", {"champion": "worse"})
    assert record.metrics["gain_low"] > 0.2
    assert record.champion == site.serve("worse"), "the digest that it has in a repository"


def test_a_served_model_is_the_champion_that_is_given(site: Site, serving) -> None:
    record = site.gate("first", {"champion": serving.endpoint.url("finder")})
    assert record.champion == serving.digest == record.challenger
    with pytest.raises(RefusedError, match="is refused: mAP50-95 is"):
        site.gate("worse", {"champion": serving.endpoint.url("finder")})


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        pytest.param(
            {"min_map": 0.9}, r"is refused: mAP50-95 is 0\.\d{4}, below min_map=0\.9; see .*out\.refused", id="mAP"
        ),
        pytest.param(
            {"max_latency_ms": 1e-6}, r"takes [\d.]+ ms \(p95\), more than max_latency_ms=1e-06", id="latency"
        ),
        pytest.param({"max_megabytes": 1e-6}, r"has [\d.e-]+ MB, more than max_megabytes=1e-06", id="size"),
    ],
)
def test_a_models_own_limits_count_without_a_champion(site: Site, settings: dict[str, float], line: str) -> None:
    with pytest.raises(RefusedError, match=line):
        site.gate("worse", {"benchmark": "benchmark"}, **settings)
    assert not site.out.exists()
    assert [path.name for path in site.refused.iterdir()] == ["gate.md"]


@pytest.mark.parametrize(
    ("export", "given", "settings", "error", "line"),
    [
        pytest.param(
            "first",
            {},
            {"max_latency_ms": 5.0},
            UsageError,
            "max_latency_ms=5.0: needs the challenger's latency; give benchmark=",
            id="a limit of latency without a benchmark",
        ),
        pytest.param(
            "other", {"benchmark": "benchmark"}, {}, UsageError, "is not of .*other", id="another's benchmark"
        ),
        pytest.param("first", {"benchmark": "data"}, {}, DataError, r"holds no record\.json", id="no benchmark"),
        pytest.param("first", {"benchmark": "second"}, {}, DataError, "is no record of benchmark", id="another step"),
        pytest.param("data", {}, {}, DataError, r"holds no record\.json", id="no export"),
        pytest.param("pose", {}, {}, ModelError, "exported=.*: is a model for pose", id="another task"),
        pytest.param("broken", {}, {}, ModelError, "cannot be loaded", id="broken challenger"),
        pytest.param("first", {"champion": "broken"}, {}, ModelError, "cannot be loaded", id="broken champion"),
        pytest.param("first", {"champion": "pose"}, {}, ModelError, "champion=.*: is a model for pose", id="its task"),
        pytest.param("first", {"champion": "none"}, {}, DataError, "none: holds no record", id="no such champion"),
        pytest.param(
            "first", {"champion": "triton://127.0.0.1:9/x"}, {}, ServiceError, "cannot be reached", id="no server"
        ),
        pytest.param("first", {"data": "none"}, {}, DataError, "data=none: no such file", id="no data"),
        pytest.param("first", {}, {"split": "exam"}, DataError, "no split 'exam'", id="no split"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    site: Site, export: str, given: dict[str, str], settings: dict[str, object], error: type[YoloError], line: str
) -> None:
    with pytest.raises(error, match=line) as caught:
        site.gate(export, given, **settings)
    assert "\n" not in str(caught.value)
    assert not site.out.exists() and not site.refused.exists()


def test_a_champion_of_other_classes_cannot_be_compared(site: Site, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tests.serve.finder.META", ModelMeta(names=(*META.names, "blue"), imgsz=64))
    write_export(tmp_path / "three")
    with pytest.raises(DataError, match=r"knows 3 classes and the challenger 2, so they cannot be compared"):
        site.gate("first", {"champion": str(tmp_path / "three")})


def test_a_pointer_without_its_entry(site: Site) -> None:
    digest = site.serve("first")
    shutil.rmtree(site.folder / "serving" / models.entry_name("detector", digest))
    with pytest.raises(ModelError, match="which is not there; deploy a model again"):
        site.gate("second")
