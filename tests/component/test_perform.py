"""The door for pipeline components, with and without an object store, on Kubeflow's own artifacts."""

import shutil
from pathlib import Path

import pytest

from tests.serve.finder import write_dataset, write_network
from yolocore.component.handover import STORED, Stored
from yolocore.records import load_record

INGEST = {"source": "demo", "demo_images": 25, "demo_imgsz": 64, "val_fraction": 0.2}


def test_without_a_store_all_stays_in_the_folder(task, cache):
    ingested = task("ingested")
    ingested.perform("ingest", **INGEST)
    record = load_record(ingested.folder)
    assert all((ingested.folder / artifact.path).exists() for artifact in record.artifacts.values())
    assert STORED not in ingested.files() and not cache.exists()
    assert set(ingested.result.metadata) == {"key", *record.artifacts}
    assert ingested.metrics.metadata == record.metrics
    assert Path(ingested.metrics.path).read_bytes() == (ingested.folder / "record.json").read_bytes()
    assert "<h2>ingest</h2>" in Path(ingested.report.path).read_text()


def test_with_one_only_what_people_look_at_stays(store, task, capsys):
    ingested = task("ingested")
    ingested.perform("ingest", **INGEST)
    record = load_record(ingested.folder)
    assert ingested.files() == {"record.json", STORED, *record.views}
    stored = Stored.model_validate_json((ingested.folder / STORED).read_bytes())
    assert stored.bytes == sum(artifact.bytes for artifact in record.artifacts.values())
    digests = {name: artifact.digest for name, artifact in record.artifacts.items()}
    assert ingested.result.metadata == {
        "key": record.key, **digests, "digest": stored.digest, "uri": store.uri(stored.digest)
    }  # fmt: skip
    assert stored.uri in capsys.readouterr().out
    assert stored.uri in Path(ingested.report.path).read_text()


def test_what_is_handed_over_gives_the_same_record(store, task, tmp_path, cache, monkeypatch):
    source, model = write_dataset(tmp_path / "source"), write_network(tmp_path / "finder.onnx")
    records = []
    for name, place in (("by the store", store.place), ("by the folder", "")):
        monkeypatch.setenv("YOLO_STORE", place)
        ingested, measured = task(f"{name}/ingest"), task(f"{name}/val")
        ingested.perform("ingest", source=str(source))
        measured.perform("val", model=str(model), data=ingested.result.path)
        records.append([load_record(each.folder).canonical() for each in (ingested, measured)])
    assert records[0] == records[1]
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1

    # Another machine, which has neither the cache nor the step's artifacts.
    shutil.rmtree(cache)
    monkeypatch.setenv("YOLO_STORE", store.place)
    again = task("again")
    again.perform("val", model=str(model), data=str(tmp_path / "by the store/ingest/result"))
    assert load_record(again.folder).canonical() == records[0][1]


def test_a_failure_ends_with_one_line_and_its_code(task, capsys):
    with pytest.raises(SystemExit) as ended:
        task("failed").perform("ingest", source="nowhere")
    assert ended.value.code == 3
    assert capsys.readouterr().err == (
        "yolo ingest: error: source=nowhere: no such file or folder; give one, an archive, a URI, "
        "demo or demo-classify\n"
    )
